/**
 * Client: one session of a gateway, over one socket at a time.
 *
 * Owns the commands, and what is said again on each new socket: every unanswered create and stop is repeated. Does not own
 * the socket (`Connection`), nor which response is followed from where (`Streams`).
 *
 * Guarantees: a create runs once, however often the connection is lost under it; a stop that was asked for is asked for
 * again until it is answered; `close()` stops nothing.
 *
 * @typedef {object} ClientOptions
 * @property {string | string[]} [url] `https://host`, `wss://host/v1/responses`; several: of the same gateways, tried in
 *   turn. In a page, its own origin if not given.
 * @property {string} [session] The conversation: 1 to 128 characters. Made up if not given (`client.session`).
 * @property {string | import("./token.js").TokenCallback} [token] What to authenticate with, or who gives it.
 * @property {any} [WebSocket] The constructor; `globalThis.WebSocket` if not given.
 * @property {Partial<import("./connection.js").Timings>} [timings]
 * @property {number} [queueChars] Characters of JSON that a stream holds for its reader; beyond, the server's log does.
 * @property {import("./clock.js").Clock} [clock]
 * @property {boolean} [watchPage] Heed `visibilitychange`, `online` and `offline`, where they are. Default true.
 *
 * @typedef {object} CreateOptions
 * @property {AbortSignal} [signal] Aborting it stops the response.
 * @property {string} [eventId] The same id with the same body is the same response, also after a reload.
 *
 * @typedef {{ model: string, input?: unknown, [member: string]: any }} CreateBody The Responses create body.
 */
import { endpoint } from "./address.js";
import { backoffMs } from "./backoff.js";
import { Timer, systemClock } from "./clock.js";
import { CloseCode } from "./close-codes.js";
import { Connection } from "./connection.js";
import { AndonError, RequestError, errorOf } from "./errors.js";
import { newId } from "./ids.js";
import { Ledger } from "./ledger.js";
import { watchPage } from "./page.js";
import { ResponseStream, throwIfAborted } from "./response-stream.js";
import { Streams } from "./streams.js";

/** @type {import("./connection.js").Timings} */
export const TIMINGS = Object.freeze({
  heartbeatMs: 15_000,
  pongTimeoutMs: 8_000,
  connectTimeoutMs: 10_000,
  backoff: { baseMs: 250, maxMs: 15_000 },
  overloaded: { baseMs: 2_000, maxMs: 30_000 },
});
const QUEUE_CHARS = 4 * 1024 * 1024;
// A command that the server cannot obey now is said again so often, with the back-off between.
const MOST_REFUSALS = 8;
const LATER = 503;

export class Client {
  #connection;
  #clock;
  #timings;
  #queueChars;
  #ledger = new Ledger();
  #streams;
  // Set while something waits to be said again that the server could not obey.
  #again;
  // A stream was left, and the socket is about to be.
  #isLeaving = false;
  /** @type {Set<(state: import("./connection.js").ConnectionState, close: import("./connection.js").Close | null) => void>} */
  #stateListeners = new Set();
  #unwatch = () => {};
  // Why there is no going on.
  /** @type {Error | null} */
  #end = null;
  /** @type {import("./response-stream.js").Owner} */
  #owner = {
    stop: (stream, reason) => this.#stopStream(stream, reason),
    follow: (stream) => this.#streams.follow(stream),
    leave: (stream) => this.#leave(stream),
  };

  /** @param {ClientOptions} options */
  constructor({
    url = "/v1/responses",
    session = newId("session"),
    token,
    WebSocket = globalThis.WebSocket,
    timings = {},
    queueChars = QUEUE_CHARS,
    clock = systemClock,
    watchPage: isWatching = true,
  } = {}) {
    if (typeof WebSocket !== "function") {
      throw new AndonError("There is no WebSocket here: give one, e.g. `new Client({ WebSocket })` with the `ws` package.");
    }
    /** The conversation that sockets attach to. */
    this.session = session;
    this.#clock = clock;
    this.#timings = { ...TIMINGS, ...timings };
    this.#queueChars = queueChars;
    this.#again = new Timer(clock);
    this.#streams = new Streams((frame) => this.#connection.send(frame));
    this.#connection = new Connection({
      addresses: [url].flat().map((one) => endpoint(one, session)),
      WebSocket,
      token,
      clock,
      timings: this.#timings,
      listener: {
        onOpen: () => this.#opened(),
        onEvent: (event, size) => this.#heard(event, size),
        onLost: (close) => this.#lost(close),
        onGaveUp: (error) => this.#finish(error),
        onState: (state, close) => this.#stateListeners.forEach((listener) => listener(state, close)),
      },
    });
    if (isWatching) {
      this.#unwatch = watchPage({ wake: () => this.wake(), doubt: () => this.#connection.doubt() });
    }
  }

  /** How the connection is: `idle`, `connecting`, `open`, `waiting` (for the next attempt) or `closed`. */
  get state() {
    return this.#connection.state;
  }

  /**
   * Be told of each change of `state`, with the close that led to it.
   *
   * @param {(state: import("./connection.js").ConnectionState, close: import("./connection.js").Close | null) => void} listener
   * @returns {() => void} Ends it.
   */
  onState(listener) {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** Connect now, rather than with the first command. It stays connected until `close()`. */
  connect() {
    this.#check();
    this.#connection.start();
    return this;
  }

  /** The device woke up, or the network changed: reconnect at once, or see whether anybody is there. */
  wake() {
    this.#connection.wake();
  }

  /**
   * Close the connection for good. It stops nothing: what is live goes on, and another client can retrieve it.
   */
  close() {
    this.#connection.close();
    this.#finish(null);
  }

  // ── commands ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Start a response.
   *
   * @param {CreateBody} body
   * @param {CreateOptions} [options]
   * @returns {ResponseStream}
   */
  create(body, { signal, eventId = newId("create") } = {}) {
    this.#check();
    throwIfAborted(signal);
    const stream = this.#stream(null, -1, signal);
    // A lane of its own: its name comes back with each event, and tells which create the first one belongs to.
    const lane = eventId.replace(/[^A-Za-z0-9_.-]/g, "_").slice(0, 256);
    this.#streams.await(lane, stream);
    this.#command({
      frame: { ...body, type: "response.create", event_id: eventId, stream_id: lane },
      onAnswer: () => {},
      onRefused: (error) => {
        this.#streams.forgetLane(lane);
        stream.fail(error);
      },
    });
    return stream;
  }

  /**
   * Follow a response that exists: from its first event, or from what was seen of it on.
   *
   * One stream follows a response in a client: an earlier one of the same id is detached.
   *
   * @param {string} id
   * @param {{ startingAfter?: number, signal?: AbortSignal }} [options] Aborting the signal stops the response.
   * @returns {ResponseStream}
   */
  retrieve(id, { startingAfter = -1, signal } = {}) {
    this.#check();
    throwIfAborted(signal);
    const stream = this.#stream(id, startingAfter, signal);
    this.#streams.add(id, stream);
    this.#connection.start();
    this.#streams.follow(stream);
    return stream;
  }

  /**
   * Follow whatever is live in the session, each from its first event: what a page does after a reload. A response that
   * this client follows already is given as it is.
   *
   * @returns {Promise<ResponseStream[]>}
   */
  resume() {
    return new Promise((resolve, reject) => {
      this.#check();
      this.#command({
        frame: { type: "response.retrieve", event_id: newId("resume") },
        onAnswer: (event) => resolve(event.response_ids.map((/** @type {string} */ id) => this.#streams.find(id) ?? this.#adopt(id))),
        onRefused: reject,
      });
    });
  }

  /**
   * Stop a response by its id, or, without one, whatever is live in the session.
   *
   * @param {{ responseId?: string, reason?: string }} [options]
   * @returns {Promise<import("./response-stream.js").StopTimes[]>} Empty: nothing was left to stop.
   */
  stop({ responseId, reason } = {}) {
    return new Promise((resolve, reject) => {
      this.#check();
      /** @type {import("./response-stream.js").StopTimes[]} */
      let accepted = [];
      const frame = { type: "response.cancel", event_id: newId("stop"), response_id: responseId, reason };
      this.#command({
        frame,
        onAnswer: (event) => {
          if (event.type === "response.cancel.accepted") accepted = event.stops;
          // A repeat, over another socket, finds that what it asked for has happened.
          else resolve(event.type === "response.cancel.done" ? event.stops : accepted);
        },
        onRefused: reject,
      });
    });
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param {string | null} id
   * @param {number} startingAfter
   * @param {AbortSignal | undefined} signal
   */
  #stream(id, startingAfter, signal) {
    return new ResponseStream({ owner: this.#owner, id, startingAfter, queueChars: this.#queueChars, signal });
  }

  /** @param {string} id */
  #adopt(id) {
    const stream = this.#stream(id, -1, undefined);
    this.#streams.add(id, stream);
    return stream;
  }

  /**
   * A stream was left by its reader. Only a socket that goes away is a detach to the server, so we leave this one, and
   * come back for the rest.
   *
   * @param {ResponseStream} stream
   */
  #leave(stream) {
    const lane = this.#streams.laneOf(stream);
    // It may have been created: that it goes on is what leaving means. If it was not, it never will be.
    if (lane !== undefined) this.#settleLane(lane);
    this.#streams.forget(stream);
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    // Once for all that are left together.
    void Promise.resolve().then(() => {
      this.#isLeaving = false;
      this.#connection.renew();
    });
  }

  /**
   * @param {ResponseStream} stream
   * @param {string | undefined} reason
   */
  async #stopStream(stream, reason) {
    this.#check();
    if (stream.id === null && this.#forgetUnsent(stream)) return null;
    let responseId;
    try {
      responseId = await stream.created;
    } catch {
      return null; // it never came to be, and the iteration tells why
    }
    const options = reason === undefined ? { responseId } : { responseId, reason };
    return (await this.stop(options))[0] ?? null;
  }

  /**
   * Drop a create that was never sent: nothing is there to be stopped.
   *
   * @param {ResponseStream} stream
   */
  #forgetUnsent(stream) {
    const lane = this.#streams.laneOf(stream);
    const isUnsent = this.#ledger.all().some(({ frame, wasSent }) => !wasSent && frame["stream_id"] === lane);
    if (lane === undefined || !isUnsent) return false;
    this.#settleLane(lane);
    stream.abandon();
    return true;
  }

  // ── the socket's life ──────────────────────────────────────────────────────────────────────────────────────────

  #opened() {
    this.#streams.opened();
    for (const command of this.#ledger.all()) this.#say(command);
  }

  /** @param {import("./connection.js").Close} close */
  #lost(close) {
    this.#again.clear();
    this.#streams.lost(close);
    if (close.code !== CloseCode.FRAME_TOO_BIG) return;
    const command = this.#ledger.largestSent();
    if (command === null) return;
    this.#ledger.remove(command.frame.event_id);
    const message = "The frame is larger than the server takes. Send less in one.";
    command.onRefused(new RequestError({ code: "frame_too_big", message }, 413));
  }

  /**
   * End everything.
   *
   * @param {Error | null} error Null: it was closed here.
   */
  #finish(error) {
    if (this.#end !== null) return;
    this.#end = error ?? new AndonError("This client was closed.");
    this.#unwatch();
    this.#again.clear();
    this.#streams.end(error);
    for (const command of this.#ledger.all()) {
      this.#ledger.remove(command.frame.event_id);
      command.onRefused(this.#end);
    }
  }

  #check() {
    if (this.#end !== null) throw this.#end;
  }

  // ── saying and hearing ─────────────────────────────────────────────────────────────────────────────────────────

  /** @param {import("./ledger.js").Command} command */
  #command(command) {
    this.#ledger.add(command);
    this.#connection.start();
    this.#say(command);
  }

  /** @param {import("./ledger.js").Command} command */
  #say(command) {
    if (this.#connection.send(command.frame)) command.wasSent = true;
  }

  /**
   * @param {any} event
   * @param {number} size
   */
  #heard(event, size) {
    if (event.type === "error") {
      this.#refused(event);
    } else if (event.sequence_number !== undefined && event.response_id !== undefined) {
      const lane = this.#streams.take(event, size);
      if (lane !== undefined) this.#settleLane(lane);
    } else {
      const command = this.#ledger.find(event.event_id);
      if (command === undefined) return; // an answer to what an earlier socket said, or of a type that we do not know
      if (event.type !== "response.cancel.accepted") this.#ledger.remove(event.event_id);
      command.onAnswer(event);
    }
  }

  /**
   * The create of this lane is answered, or of no interest any more.
   *
   * @param {string} lane
   */
  #settleLane(lane) {
    this.#streams.forgetLane(lane);
    for (const { frame } of this.#ledger.all()) if (frame["stream_id"] === lane) this.#ledger.remove(frame.event_id);
  }

  /** @param {any} event */
  #refused(event) {
    const refusal = this.#streams.refused(event);
    if (refusal === "later") this.#sayAgain(1);
    const command = this.#ledger.find(event.event_id);
    if (refusal !== "foreign" || command === undefined) return;
    command.refusals = (command.refusals ?? 0) + 1;
    if (event.status === LATER && command.refusals < MOST_REFUSALS) {
      this.#sayAgain(command.refusals);
    } else {
      this.#ledger.remove(event.event_id);
      command.onRefused(errorOf(event));
    }
  }

  /**
   * Say again, after a while, what the server could not obey.
   *
   * @param {number} refusals How often it could not.
   */
  #sayAgain(refusals) {
    if (this.#again.isSet) return;
    this.#again.set(backoffMs(refusals, this.#timings.backoff, this.#clock.random()), () => {
      this.#streams.again();
      for (const command of this.#ledger.all()) if (command.refusals) this.#say(command);
    });
  }
}
