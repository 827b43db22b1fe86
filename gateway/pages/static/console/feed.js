/**
 * Feed: the live feed's socket, kept up.
 *
 * Owns connecting, waiting and connecting again. Guarantees: `onMessage` gets a snapshot first on each new socket; a
 * refused token is told once, and waits for another.
 */
import { access, ask } from "./access.js";

const FIRST_MS = 300;
const MOST_MS = 10_000;
const UNAUTHORIZED = 3000;
const FORBIDDEN = 3003;

export class Feed {
  /** @type {WebSocket | null} */
  #socket = null;
  #waitMs = FIRST_MS;
  #timer = 0;
  #onMessage;
  #onState;
  #onRefused;

  /**
   * @param {object} listener
   * @param {(message: any) => void} listener.onMessage
   * @param {(state: string) => void} listener.onState
   * @param {(why: string) => void} listener.onRefused
   */
  constructor({ onMessage, onState, onRefused }) {
    this.#onMessage = onMessage;
    this.#onState = onState;
    this.#onRefused = onRefused;
  }

  /** Connect now, with the token of now. */
  async connect() {
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#onState("connecting");
    // A socket that is refused tells a page little; this says whether the token is good, and why not.
    try {
      await ask("workers");
    } catch (error) {
      const status = /** @type {any} */ (error).status;
      if (status === 401 || status === 403) return this.#refused(/** @type {Error} */ (error).message);
      return this.#again();
    }
    this.#open();
  }

  #open() {
    const protocols = access.token ? ["andon.v1", `bearer.${access.token}`] : ["andon.v1"];
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.#socket = new WebSocket(`${scheme}://${location.host}/v1/admin/feed`, protocols));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "error") return;
      this.#waitMs = FIRST_MS;
      this.#onState("open");
      this.#onMessage(message);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return; // it was replaced
      if (code === UNAUTHORIZED || code === FORBIDDEN) this.#refused(reason);
      else this.#again();
    };
  }

  /** @param {string} why */
  #refused(why) {
    this.#onState("closed");
    this.#onRefused(why);
  }

  #again() {
    this.#onState("waiting");
    this.#timer = setTimeout(() => void this.connect(), this.#waitMs * (0.5 + Math.random() / 2));
    this.#waitMs = Math.min(this.#waitMs * 2, MOST_MS);
  }
}
