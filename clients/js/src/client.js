/**
 * Client: one session of a gateway, over one socket at a time.
 *
 * Owns what its caller asks for: which command each is, and what its answer is to the caller. Does not own what is said
 * again and whose each event is (`Dialogue`), nor the events of a response (`ResponseStream`).
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
 * @property {Partial<import("./timings.js").Timings>} [timings]
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
import { systemClock } from "./clock.js";
import { Dialogue } from "./dialogue.js";
import { AndonError } from "./errors.js";
import { newId } from "./ids.js";
import { ResponseStream, throwIfAborted } from "./response-stream.js";
import { TIMINGS } from "./timings.js";

const QUEUE_CHARS = 4 * 1024 * 1024;

export class Client {
  #dialogue;
  #streams;
  #queueChars;
  /** @type {Set<(state: import("./connection.js").ConnectionState, close: import("./connection.js").Close | null) => void>} */
  #stateListeners = new Set();
  /** @type {import("./response-stream.js").Owner} */
  #owner = {
    stop: (stream, reason) => this.#stopStream(stream, reason),
    follow: (stream) => this.#streams.follow(stream),
    leave: (stream) => this.#dialogue.leave(stream),
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
    watchPage: watchesPage = true,
  } = {}) {
    if (typeof WebSocket !== "function") {
      throw new AndonError("There is no WebSocket here: give one, e.g. `new Client({ WebSocket })` with the `ws` package.");
    }
    /** The conversation that sockets attach to. */
    this.session = session;
    this.#queueChars = queueChars;
    const addresses = [url].flat().map((one) => endpoint(one, session));
    this.#dialogue = new Dialogue(
      { addresses, WebSocket, token, clock, timings: { ...TIMINGS, ...timings }, watchesPage },
      (state, close) => this.#stateListeners.forEach((listener) => listener(state, close)),
    );
    this.#streams = this.#dialogue.streams;
  }

  /** How the connection is: `idle`, `connecting`, `open`, `waiting` (for the next attempt) or `closed`. */
  get state() {
    return this.#dialogue.state;
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
    this.#dialogue.start();
    return this;
  }

  /** The device woke up, or the network changed: reconnect at once, or see whether anybody is there. */
  wake() {
    this.#dialogue.wake();
  }

  /**
   * Close the connection for good. It stops nothing: what is live goes on, and another client can retrieve it.
   */
  close() {
    this.#dialogue.close();
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
    this.#dialogue.check();
    throwIfAborted(signal);
    const stream = this.#stream(null, -1, signal);
    // A lane of its own: its name comes back with each event, and tells which create the first one belongs to.
    const lane = eventId.replace(/[^A-Za-z0-9_.-]/g, "_").slice(0, 256);
    this.#streams.await(lane, stream);
    const onRefused = (/** @type {unknown} */ error) => {
      this.#streams.forgetLane(lane);
      stream.fail(error);
    };
    try {
      const frame = { ...body, type: "response.create", event_id: eventId, stream_id: lane };
      this.#dialogue.say({ frame, onAnswer: () => {}, onRefused });
    } catch (error) {
      onRefused(error); // too much waits already: nothing is left of this one
      throw error;
    }
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
    this.#dialogue.check();
    throwIfAborted(signal);
    const stream = this.#stream(id, startingAfter, signal);
    this.#streams.add(id, stream);
    this.#dialogue.start();
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
      this.#dialogue.say({
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
      /** @type {import("./response-stream.js").StopTimes[]} */
      let accepted = [];
      const frame = { type: "response.cancel", event_id: newId("stop"), response_id: responseId, reason };
      this.#dialogue.say({
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
   * @param {ResponseStream} stream
   * @param {string | undefined} reason
   */
  async #stopStream(stream, reason) {
    this.#dialogue.check();
    if (stream.id === null && this.#dialogue.takeBack(stream)) return null;
    let responseId;
    try {
      responseId = await stream.created;
    } catch {
      return null; // it never came to be, and the iteration tells why
    }
    const options = reason === undefined ? { responseId } : { responseId, reason };
    return (await this.stop(options))[0] ?? null;
  }
}
