/**
 * Event queue: what came of one response and was not read yet.
 *
 * Bounded. Policy when full: it takes no more, and says so once it has drained to half; whatever came meanwhile is in the
 * server's log, by number, and is asked for again then. So a reader that is slow costs memory no further than the bound,
 * and loses nothing as long as the log lasts.
 *
 * @typedef {{ done: boolean, value: any }} Result
 */
export class EventQueue {
  /** Something did not fit since it last drained. */
  isBehind = false;
  #bound;
  #onDrained;
  /** @type {{ event: any, size: number }[]} */
  #events = [];
  #size = 0;
  /** @type {{ resolve: (result: Result) => void, reject: (error: unknown) => void }[]} */
  #readers = [];
  // No event comes after those that are queued; with an error, or without.
  /** @type {{ error: unknown } | null} */
  #ending = null;

  /**
   * @param {number} bound Characters of JSON.
   * @param {() => void} onDrained
   */
  constructor(bound, onDrained) {
    this.#bound = bound;
    this.#onDrained = onDrained;
  }

  /** Whether another event is taken. One always is: an event may be larger than the bound. */
  get hasRoom() {
    return !this.isBehind && (this.#size < this.#bound || this.#events.length === 0);
  }

  /**
   * @param {any} event
   * @param {number} size
   */
  put(event, size) {
    const reader = this.#readers.shift();
    if (reader) {
      reader.resolve({ done: false, value: event });
      return;
    }
    this.#events.push({ event, size });
    this.#size += size;
  }

  /**
   * Nothing more comes. The first ending stays.
   *
   * @param {unknown} [error] What a reader gets after the last event; without one the iteration ends.
   */
  end(error) {
    if (this.#ending !== null) return;
    this.#ending = { error };
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if (error === undefined) resolve({ done: true, value: undefined });
      else reject(error);
    }
  }

  /** Forget what is queued: nobody will read it. */
  drop() {
    this.#events = [];
    this.#size = 0;
  }

  /** @returns {Promise<Result>} */
  next() {
    const first = this.#events.shift();
    if (first) {
      this.#size -= first.size;
      if (this.isBehind && this.#size <= this.#bound / 2) {
        this.isBehind = false;
        this.#onDrained();
      }
      return Promise.resolve({ done: false, value: first.event });
    }
    if (this.#ending === null) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    return this.#ending.error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#ending.error);
  }
}
