/**
 * Renewal: tells the server of another token before the present one expires, on the socket that is open.
 *
 * Owns when, and what follows from the answer. A renewal that fails is tried again until the server closes the socket with
 * 3000; what that leads to is the connection's.
 */
import { Timer } from "./clock.js";
import { newId } from "./ids.js";

const AGAIN_MS = 5000;

export class Renewal {
  #token;
  #send;
  #timer;
  // Counts sockets, so that a token that comes late is not told to the next.
  #socket = 0;
  // The `event_id` that is not answered yet.
  /** @type {string | null} */
  #eventId = null;

  /**
   * @param {object} options
   * @param {import("./token.js").Token} options.token
   * @param {import("./clock.js").Clock} options.clock
   * @param {(frame: object) => void} options.send
   */
  constructor({ token, clock, send }) {
    this.#token = token;
    this.#send = send;
    this.#timer = new Timer(clock);
  }

  /** The server took us in. */
  start() {
    const ms = this.#token.renewInMs;
    if (ms !== null) this.#timer.set(ms, () => void this.#renew());
  }

  /** The socket is gone. */
  stop() {
    this.#timer.clear();
    this.#socket += 1;
    this.#eventId = null;
  }

  /**
   * Take an event, if it answers a renewal.
   *
   * @param {any} event
   * @returns {boolean} False: it is somebody else's.
   */
  take(event) {
    if (this.#eventId === null || event.event_id !== this.#eventId) return false;
    this.#eventId = null;
    if (event.type === "auth.refreshed") {
      this.#token.accepted(event.expires_at);
      this.start();
    } else {
      this.#later();
    }
    return true;
  }

  async #renew() {
    const socket = this.#socket;
    let token;
    try {
      token = await this.#token.forRefresh();
    } catch {
      // No token now, perhaps one later; if never, the server closes the socket, and what follows then is told.
      if (socket === this.#socket) this.#later();
      return;
    }
    if (socket !== this.#socket) return;
    this.#eventId = newId("auth");
    this.#send({ type: "auth.refresh", token, event_id: this.#eventId });
  }

  #later() {
    this.#timer.set(AGAIN_MS, () => void this.#renew());
  }
}
