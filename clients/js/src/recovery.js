/**
 * Recovery: what follows from the loss of a socket.
 *
 * Owns what decides that beside the close code: how many attempts were in vain, whether a token was refused already, and
 * what the server complained of. Does no I/O and sets no timer: a close in; a wait, or the error to give up with, out.
 *
 * Guarantees: only a server that was well until it closed is left without a wait, and a token only once in a row, so
 * nothing is dialled in a busy loop.
 */
import { backoffMs } from "./backoff.js";
import { verdictOf } from "./close-codes.js";
import { ForbiddenError, UnauthorizedError } from "./errors.js";

export class Recovery {
  #token;
  #timings;
  #clock;
  // Attempts since the server last answered.
  #failures = 0;
  // A token was refused, and none taken since.
  #isRefused = false;
  // The last error that answered nothing we asked: it tells why a close follows.
  /** @type {string | null} */
  #complaint = null;

  /**
   * @param {object} options
   * @param {import("./token.js").Token} options.token
   * @param {import("./timings.js").Timings} options.timings
   * @param {import("./clock.js").Clock} options.clock
   */
  constructor({ token, timings, clock }) {
    this.#token = token;
    this.#timings = timings;
    this.#clock = clock;
  }

  /** Another socket is there: what was complained of on the last one explains nothing of it. */
  opening() {
    this.#complaint = null;
  }

  /**
   * The server told of an error.
   *
   * @param {any} event
   */
  complained(event) {
    this.#complaint = event.error?.message ?? null;
  }

  /** The server took us in. */
  welcomed() {
    this.#failures = 0;
    this.#isRefused = false;
  }

  /**
   * Decide what is to be done.
   *
   * @param {import("./connection.js").Close} close
   * @param {boolean} wasWell The server had answered on this socket.
   * @returns {number | Error} Milliseconds until the next attempt; or why there is to be none.
   */
  after(close, wasWell) {
    switch (verdictOf(close.code)) {
      case "give_up":
        return new ForbiddenError(this.#why(close));
      case "token":
        if (!this.#token.canRenew || this.#isRefused) return new UnauthorizedError(this.#why(close));
        this.#isRefused = true;
        this.#token.refuse();
        return 0;
      case "at_once":
        // Servers that close at once whoever comes would be dialled in a busy loop.
        return wasWell ? 0 : this.#backoff(this.#timings.backoff);
      case "later":
        return this.#backoff(this.#timings.overloaded);
      default:
        return this.#backoff(this.#timings.backoff);
    }
  }

  /** @param {import("./backoff.js").BackoffBounds} bounds */
  #backoff(bounds) {
    const ms = backoffMs(this.#failures, bounds, this.#clock.random());
    this.#failures += 1;
    return ms;
  }

  /** @param {import("./connection.js").Close} close */
  #why({ code, reason }) {
    return this.#complaint ?? `The server closed the connection with ${code}${reason ? ` (${reason})` : ""}.`;
  }
}
