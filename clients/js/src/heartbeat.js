/**
 * Heartbeat: notices a network that died without a word.
 *
 * A browser's WebSocket cannot ping, and a connection whose other end vanished looks open for minutes. So after
 * `intervalMs` of silence a `ping` goes out, and if nothing whatever comes within `timeoutMs` the socket is dead. Any
 * frame counts as life: a busy stream costs no ping.
 *
 * A timer that fires late proves nothing (the machine slept, the page was frozen: what came meanwhile may wait unread),
 * so then it asks once more.
 */
import { Timer } from "./clock.js";

const LATE_MS = 1000;

export class Heartbeat {
  #clock;
  #intervalMs;
  #timeoutMs;
  #ping;
  #dead;
  #timer;
  // When something was last heard, and when the ping that is waited for was sent; null: none is.
  #heardAt = 0;
  /** @type {number | null} */
  #askedAt = null;

  /**
   * @param {object} options
   * @param {import("./clock.js").Clock} options.clock
   * @param {number} options.intervalMs
   * @param {number} options.timeoutMs
   * @param {() => void} options.ping Sends one.
   * @param {() => void} options.dead Told once, then it has stopped.
   */
  constructor({ clock, intervalMs, timeoutMs, ping, dead }) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
    this.#ping = ping;
    this.#dead = dead;
    this.#timer = new Timer(clock);
  }

  /** Begin, with a first ping: its answer shows that the server took us in. */
  start() {
    this.#heardAt = this.#clock.now();
    this.probe();
  }

  /** Something came. Cheap: it is called for every frame, and sets no timer. */
  heard() {
    this.#heardAt = this.#clock.now();
    this.#askedAt = null;
  }

  /** Ask at once: something tells that the network may have changed. */
  probe() {
    if (this.#askedAt !== null) return;
    this.#askedAt = this.#clock.now();
    this.#wait(this.#timeoutMs);
    this.#ping();
  }

  stop() {
    this.#timer.clear();
  }

  /** @param {number} ms */
  #wait(ms) {
    const due = this.#clock.now() + ms;
    this.#timer.set(ms, () => this.#look(due));
  }

  /** @param {number} due */
  #look(due) {
    const now = this.#clock.now();
    if (this.#askedAt === null) {
      const left = this.#heardAt + this.#intervalMs - now;
      if (left > 0) this.#wait(left);
      else this.probe();
    } else if (now - due > LATE_MS) {
      this.#askedAt = null;
      this.probe();
    } else if (now < this.#askedAt + this.#timeoutMs) {
      this.#wait(this.#askedAt + this.#timeoutMs - now);
    } else {
      this.#dead();
    }
  }
}
