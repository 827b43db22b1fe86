/**
 * Clock: time and chance, as the client sees them.
 *
 * Owns the one place where real timers are asked for, so that a test puts its own in their stead and never sleeps.
 *
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds that only grow; their zero means nothing.
 * @property {() => number} wallMs Milliseconds since 1970: only for the expiry of tokens.
 * @property {() => number} random A number from 0 to 1, for jitter.
 * @property {(run: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
export const systemClock = Object.freeze({
  now: () => (typeof performance === "undefined" ? Date.now() : performance.now()),
  wallMs: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => setTimeout(run, ms),
  clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
});

/**
 * One timer: set again it forgets what it was set to before.
 */
export class Timer {
  #clock;
  /** @type {unknown} */
  #timer = null;

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  get isSet() {
    return this.#timer !== null;
  }

  /**
   * @param {number} ms
   * @param {() => void} run
   */
  set(ms, run) {
    this.clear();
    // A longer one would fire at once: the platform's timers take 31 bits.
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#timer = null;
        run();
      },
      Math.min(Math.max(ms, 0), 2 ** 31 - 1),
    );
  }

  clear() {
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
  }
}
