/**
 * Memory: the session's turns, as this browser knows them.
 *
 * Owns what is kept in `localStorage`, and its bounds. A gateway keeps an ended response for minutes only; what was read
 * here stays readable here.
 *
 * @typedef {object} Kept
 * @property {string | null} id
 * @property {string} eventId Of its create: the same create again is the same response.
 * @property {string} asked
 * @property {string} text
 * @property {any} response As its terminal event had it, without its output; null: it had not ended.
 */
const PREFIX = "andon.chat.";
const MOST_TURNS = 50;
const MOST_SESSIONS = 20;

export class Memory {
  #key;
  /** @type {Kept[]} */
  turns = [];

  /** @param {string} session */
  constructor(session) {
    this.#key = PREFIX + session;
    try {
      this.turns = JSON.parse(localStorage.getItem(this.#key) ?? "null")?.turns ?? [];
    } catch {
      this.turns = []; // blocked, or not ours: then nothing is remembered
    }
  }

  /** @param {Kept} turn */
  add(turn) {
    this.turns = [...this.turns, turn].slice(-MOST_TURNS);
    this.keep();
  }

  keep() {
    try {
      localStorage.setItem(this.#key, JSON.stringify({ at: Date.now(), turns: this.turns }));
      forgetOldest();
    } catch {
      // Full or blocked: the page works on, and a reload shows what the gateway still has.
    }
  }
}

function forgetOldest() {
  const sessions = Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => ({ key, at: JSON.parse(localStorage.getItem(key) ?? "{}").at ?? 0 }))
    .sort((a, b) => b.at - a.at);
  for (const { key } of sessions.slice(MOST_SESSIONS)) localStorage.removeItem(key);
}
