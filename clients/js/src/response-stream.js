/**
 * Response stream: the events of one response, in order, over however many sockets.
 *
 * Owns its number check, its queue and its ending. Does not own the socket: `Client` feeds it, and does what it asks for.
 *
 * Guarantees: an iteration gets every event from the first asked for to the terminal one, each once, and then ends; if it
 * cannot, it throws. A cut stream is never taken for a whole one. Leaving the iteration (`break`, `detach`) is no stop:
 * the response goes on. `stop()`, or aborting the signal, is.
 *
 * @typedef {object} StopTimes How far a stop got: Unix seconds, or null for what has not happened (yet).
 * @property {string} response_id
 * @property {number | null} recorded
 * @property {number | boolean | null} replicated
 * @property {number | null} acked
 * @property {number | null} upstream_closed
 * @property {number | null} settled
 *
 * @typedef {{ type: string, sequence_number: number, response_id: string, [member: string]: any }} ResponseEvent
 * @typedef {{ id: string, status: string, output: any[], usage: any, stop?: any, error?: any, [member: string]: any }} Response
 *
 * @typedef {object} Owner What a stream asks of its client.
 * @property {(stream: ResponseStream, reason: string | undefined) => Promise<StopTimes | null>} stop
 * @property {(stream: ResponseStream) => void} follow Ask for what comes after `lastSequenceNumber`.
 * @property {(stream: ResponseStream) => void} leave
 */
import { Cursor } from "./cursor.js";
import { DetachedError, abortReason } from "./errors.js";
import { EventQueue } from "./event-queue.js";

const TERMINAL = new Set(["response.completed", "response.incomplete", "response.failed"]);

/** @implements {AsyncIterableIterator<ResponseEvent>} */
export class ResponseStream {
  /**
   * The response's id; null until the server has made one up (`created` waits for it).
   *
   * @type {string | null}
   */
  id;
  /** @type {Promise<string>} Resolves to the id. */
  created;
  /** @type {Promise<Response>} Resolves to the response as its terminal event has it, whether anybody iterates or not. */
  done;
  /** The number check waits for its next event: what is ahead of it is of an earlier request, not a gap. */
  isAwaited = true;
  /** Somebody reads it, and would miss what another reader takes. */
  isRead = false;
  #owner;
  #cursor;
  #queue;
  #signal;
  // Nothing more is taken; and whether that is because it ended.
  #isOver = false;
  #hasEnded = false;
  /** @type {(id: string) => void} */
  #resolveCreated = () => {};
  /** @type {(response: Response) => void} */
  #resolveDone = () => {};
  /** @type {((error: unknown) => void)[]} */
  #rejections = [];

  /**
   * @param {object} options
   * @param {Owner} options.owner
   * @param {string | null} options.id
   * @param {number} options.startingAfter
   * @param {number} options.queueChars
   * @param {AbortSignal | undefined} options.signal
   */
  constructor({ owner, id, startingAfter, queueChars, signal }) {
    this.#owner = owner;
    this.id = id;
    this.#cursor = new Cursor(startingAfter);
    this.#queue = new EventQueue(queueChars, () => this.#owner.follow(this));
    this.created = this.#promise((resolve) => (this.#resolveCreated = resolve));
    this.done = this.#promise((resolve) => (this.#resolveDone = resolve));
    if (id !== null) this.#resolveCreated(id);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#aborted);
  }

  /** Whether it has ended, failed, or was left. */
  get isOver() {
    return this.#isOver;
  }

  /** The number of the last event that was taken; -1: none. */
  get lastSequenceNumber() {
    return this.#cursor.last;
  }

  // ── for its reader ─────────────────────────────────────────────────────────────────────────────────────────────

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<ResponseEvent>>} */
  next() {
    this.isRead = true;
    return /** @type {Promise<any>} */ (this.#queue.next());
  }

  /**
   * What `break` calls: nobody reads it any more.
   *
   * @returns {Promise<IteratorResult<ResponseEvent>>}
   */
  return() {
    this.detach();
    this.#queue.drop();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Iterate over the pieces of output text alone. */
  async *text() {
    for await (const event of this) {
      if (event.type === "response.output_text.delta") yield /** @type {string} */ (event["delta"]);
    }
  }

  /**
   * Stop the response: the model is told to cease, at once. The events go on to the terminal one, which tells what the
   * stop saved.
   *
   * @param {{ reason?: string }} [options]
   * @returns {Promise<StopTimes | null>} How far the stop got, once it is settled, or after 2 s; null if nothing was left
   *   to stop. Over a lost connection it is asked for again until it is answered.
   */
  async stop({ reason } = {}) {
    if (this.#hasEnded) return null;
    try {
      return await this.#owner.stop(this, reason);
    } catch (error) {
      // It ended by itself, and the client was closed, before the answer came: nothing was left to stop.
      if (this.#hasEnded) return null;
      throw error;
    }
  }

  /** Leave it: it goes on, and can be retrieved. Iterations throw DetachedError. */
  detach() {
    if (this.#isOver) return;
    this.leave();
    this.#owner.leave(this);
  }

  // ── for its client ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Take an event of it.
   *
   * @param {ResponseEvent} event
   * @param {number} size
   */
  take(event, size) {
    if (this.#isOver) return;
    if (this.id === null) this.#name(event.response_id);
    if (TERMINAL.has(event.type)) {
      this.#hasEnded = true;
      this.#resolveDone(event["response"]);
    }
    if (!this.#queue.hasRoom) {
      this.#queue.isBehind = true;
      return;
    }
    switch (this.#cursor.take(event.sequence_number)) {
      case "next":
        this.isAwaited = false;
        this.#queue.put(event, size);
        if (TERMINAL.has(event.type)) this.#end();
        return;
      case "gap":
        if (!this.isAwaited) this.#owner.follow(this);
        return;
      default:
        return;
    }
  }

  /**
   * It cannot go on.
   *
   * @param {unknown} error
   */
  fail(error) {
    if (this.#isOver) return;
    this.#end(error);
    for (const reject of this.#rejections) reject(error);
  }

  /** It was to be stopped before it was sent: it fails as an aborted `fetch` does. */
  abandon() {
    this.fail(abortReason(this.#signal));
  }

  /** It is followed no more. */
  leave() {
    this.fail(new DetachedError(this.id, this.lastSequenceNumber));
  }

  /** @param {string} id */
  #name(id) {
    this.id = id;
    this.#resolveCreated(id);
  }

  /** @param {unknown} [error] */
  #end(error) {
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#aborted);
    this.#queue.end(error);
  }

  #aborted = () => {
    const reason = this.#signal?.reason;
    // Whoever aborts waits for nothing: if the stop itself cannot be asked for, that is how the response ends here.
    this.stop({ reason: typeof reason === "string" ? reason : "aborted" }).catch((error) => this.fail(error));
  };

  /**
   * @template T
   * @param {(resolve: (value: T) => void) => void} keep
   * @returns {Promise<T>}
   */
  #promise(keep) {
    const promise = /** @type {Promise<T>} */ (
      new Promise((resolve, reject) => {
        keep(resolve);
        this.#rejections.push(reject);
      })
    );
    promise.catch(() => {}); // who iterates gets the error there, and need not wait here
    return promise;
  }
}

/**
 * Tell whether a signal is aborted already, by throwing what it throws.
 *
 * @param {AbortSignal | undefined} signal
 */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw abortReason(signal);
}
