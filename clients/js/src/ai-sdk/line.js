/**
 * Line: one chat's client, and who uses it.
 *
 * Owns the client's life: made at need, kept while something streams or a stop is not answered, closed a while after.
 */
import { Timer } from "../clock.js";

export class Line {
  client;
  // Counts the resumes that were asked for: a later one supersedes an earlier one.
  resumes = 0;
  #users = 0;
  #idle;
  #idleMs;
  #onClosed;

  /**
   * @param {object} options
   * @param {import("../client.js").Client} options.client
   * @param {import("../clock.js").Clock} options.clock
   * @param {number} options.idleMs
   * @param {() => void} options.onClosed
   */
  constructor({ client, clock, idleMs, onClosed }) {
    this.client = client;
    this.#idle = new Timer(clock);
    this.#idleMs = idleMs;
    this.#onClosed = onClosed;
  }

  /**
   * Use it.
   *
   * @returns {() => void} Use it no more; harmless when repeated.
   */
  hold() {
    this.#users += 1;
    this.#idle.clear();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#users -= 1;
      if (this.#users === 0) this.#idle.set(this.#idleMs, () => this.close());
    };
  }

  /** Nobody follows anything here any more, and the server is to know: only a socket that goes away is a detach. */
  closeIfUnused() {
    if (this.#users === 0) this.close();
  }

  close() {
    this.#idle.clear();
    this.client.close();
    this.#onClosed();
  }
}
