/**
 * Transport: `useChat` over Andon, with stop and resume at the same time.
 *
 * Owns what each call of the AI SDK means here. A chat is a session. Sending creates a response in it; reconnecting replays
 * the one that is live, from its first event, over whatever replica; `chat.stop()` stops the model, also of a stream that
 * was resumed; a page that goes away stops nothing. Works with `ai` 6 and 7, and imports neither.
 *
 * @typedef {object} Stopped What became of a stop.
 * @property {string} chatId
 * @property {import("../response-stream.js").StopTimes | null} times Null: it had ended by itself.
 * @property {import("../response-stream.js").Response} response As it ended: `usage`, and `stop`.
 *
 * @typedef {object} SendOptions
 * @property {"submit-message" | "regenerate-message"} trigger
 * @property {string} chatId
 * @property {string | undefined} messageId
 * @property {any[]} messages
 * @property {AbortSignal | undefined} abortSignal
 * @property {object} [body] Further members of the create body.
 * @property {unknown} [metadata]
 * @property {unknown} [headers] A WebSocket has none of its own: not sent.
 *
 * @typedef {object} ReconnectOptions
 * @property {string} chatId
 * @property {AbortSignal} [abortSignal]
 * @property {object} [body]
 * @property {unknown} [metadata]
 * @property {unknown} [headers]
 *
 * @typedef {object} OwnOptions
 * @property {string} [model] What answers. Or give it with `create`, `prepare`, or the `body` of a message.
 * @property {object} [create] Further members of every create body: `instructions`, `tools`, `reasoning`, …
 * @property {(options: SendOptions) => object | Promise<object>} [prepare] Makes the create body instead; `inputOf` helps.
 * @property {(chatId: string) => string} [session] The session of a chat; its id, if not given.
 * @property {(response: import("../response-stream.js").Response) => unknown} [messageMetadata] The metadata of a message,
 *   of the response as it begins and as it ends.
 * @property {(stopped: Stopped) => void} [onStopped] Told once a stop is settled: what it saved.
 * @property {(error: unknown, chatId: string) => void} [onStopFailed] Told when a stop could not be asked for.
 * @property {number} [idleMs] How long a chat without a stream keeps its socket.
 *
 * @typedef {OwnOptions & Omit<import("../client.js").ClientOptions, "session">} TransportOptions
 */
import { Client } from "../client.js";
import { Timer, systemClock } from "../clock.js";
import { DetachedError } from "../errors.js";
import { throwIfAborted } from "../response-stream.js";
import { Abort } from "./abort.js";
import { ChunkFold } from "./chunks.js";
import { inputOf } from "./input.js";
import { Line } from "./line.js";

const IDLE_MS = 30_000;
// The longest that `close` waits for stops to be settled, over a network that may be away.
const CLOSE_MS = 30_000;

export class AndonChatTransport {
  /** A resumed stream begins with the response's first event. */
  resumeStreamIsReplay = true;
  #own;
  #clientOptions;
  #clock;
  /** @type {Map<string, Line>} */
  #lines = new Map();
  // Aborts that are not judged, and what goes on for a stop: finding its response, asking, hearing that it is settled.
  /** @type {Set<Abort>} */
  #aborts = new Set();
  /** @type {Set<Promise<void>>} */
  #stopping = new Set();

  /** @param {TransportOptions} options */
  constructor({ model, create, prepare, session, messageMetadata, onStopped, onStopFailed, idleMs, ...clientOptions } = {}) {
    this.#own = { model, create, prepare, session, messageMetadata, onStopped, onStopFailed, idleMs };
    this.#clientOptions = clientOptions;
    this.#clock = clientOptions.clock ?? systemClock;
  }

  /**
   * @param {SendOptions} options
   * @returns {Promise<ReadableStream<any>>}
   */
  async sendMessages(options) {
    const { chatId, abortSignal } = options;
    const body = await this.#body(options);
    throwIfAborted(abortSignal); // before it is sent, there is nothing to stop
    const line = this.#line(chatId);
    const stream = line.client.create(body);
    return this.#readable(chatId, line, stream, this.#abort(abortSignal, null), line.hold());
  }

  /**
   * @param {ReconnectOptions} options
   * @returns {Promise<ReadableStream<any> | null>}
   */
  async reconnectToStream({ chatId, abortSignal }) {
    const line = this.#line(chatId);
    const resume = (line.resumes += 1);
    const abort = this.#abort(abortSignal, () => line.resumes !== resume);
    const finding = this.#live(line).finally(line.hold());
    try {
      const stream = await Promise.race([finding, abort.happening]);
      if (stream !== null) return this.#readable(chatId, line, stream, abort, line.hold());
    } catch (error) {
      this.#forget(abort);
      throw error;
    }
    // Who aborted does not wait for a network that may be away; if it was the stop, it reaches what is found.
    if (abort.happened) this.#keep(this.#stopFound(chatId, line, finding, abort));
    else this.#forget(abort);
    return null;
  }

  /**
   * Close all sockets, once the stops that were asked for are settled, or after a while. It stops nothing by itself.
   */
  close() {
    for (const abort of this.#aborts) abort.decide();
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    const timer = new Timer(this.#clock);
    const closeAll = () => {
      timer.clear();
      lines.forEach((line) => line.close());
    };
    timer.set(CLOSE_MS, closeAll);
    void this.#settled().then(closeAll);
  }

  async #settled() {
    while (this.#stopping.size) await Promise.allSettled(this.#stopping);
  }

  // ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param {SendOptions} options
   * @returns {Promise<import("../client.js").CreateBody>}
   */
  async #body(options) {
    const { model, create, prepare } = this.#own;
    if (prepare) return /** @type {any} */ (await prepare(options));
    // The page holds the conversation and sends it whole, so the server need not store its turns.
    const body = { model, store: false, ...create, ...options.body };
    return /** @type {any} */ ({ ...body, input: inputOf(options.messages) });
  }

  /**
   * The stream of what is live in the session, from its first event; of several, the newest.
   *
   * @param {Line} line
   */
  async #live(line) {
    const streams = await line.client.resume();
    const [only] = streams;
    if (only === undefined) return null;
    const retrieved = (/** @type {import("../response-stream.js").ResponseStream} */ stream) =>
      stream.isRead ? line.client.retrieve(/** @type {string} */ (stream.id)) : stream;
    return streams.length === 1 ? retrieved(only) : newest(streams.map(retrieved), line.client);
  }

  /** @param {string} chatId */
  #line(chatId) {
    let line = this.#lines.get(chatId);
    if (line === undefined) {
      const session = this.#own.session?.(chatId) ?? chatId;
      const client = new Client({ ...this.#clientOptions, session });
      const onClosed = () => {
        if (this.#lines.get(chatId) === line) this.#lines.delete(chatId);
      };
      line = new Line({ client, clock: this.#clock, idleMs: this.#own.idleMs ?? IDLE_MS, onClosed });
      this.#lines.set(chatId, line);
    }
    return line;
  }

  // ── streaming ──────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param {string} chatId
   * @param {Line} line
   * @param {import("../response-stream.js").ResponseStream} stream
   * @param {Abort} abort
   * @param {() => void} release
   */
  #readable(chatId, line, stream, abort, release) {
    const fold = new ChunkFold(this.#own.messageMetadata);
    const finish = () => {
      if (!abort.happened) this.#forget(abort);
      release();
    };
    abort.onStop(() => this.#stop(chatId, line, stream));
    return new ReadableStream(
      {
        pull: async (controller) => {
          try {
            if (await pullChunks(stream, fold, controller)) return;
            controller.close();
          } catch (error) {
            // A later stream of the same response took over: that one has the reader now.
            if (error instanceof DetachedError) controller.close();
            else controller.error(error);
          }
          finish();
        },
        cancel: () => {
          finish();
          if (abort.happened) return; // what that means is being judged, or it is stopped
          stream.detach();
          line.closeIfUnused();
        },
      },
      { highWaterMark: 0 }, // what is not read waits in the stream's own bounded queue
    );
  }

  /**
   * @param {string} chatId
   * @param {Line} line
   * @param {import("../response-stream.js").ResponseStream} stream
   */
  #stop(chatId, line, stream) {
    this.#keep(this.#stopped(chatId, stream).finally(line.hold()));
  }

  /**
   * @param {string} chatId
   * @param {import("../response-stream.js").ResponseStream} stream
   */
  async #stopped(chatId, stream) {
    const { onStopped, onStopFailed = reportFailure } = this.#own;
    try {
      const times = await stream.stop();
      if (onStopped && stream.id !== null) onStopped({ chatId, times, response: await stream.done });
    } catch (error) {
      // Stopped it is; but whoever resumed it meanwhile hears the rest.
      if (!(error instanceof DetachedError)) onStopFailed(error, chatId);
    } finally {
      stream.detach(); // harmless where it has ended; else nobody would read it
    }
  }

  /**
   * Stop what is found, if that is what the abort turns out to mean.
   *
   * @param {string} chatId
   * @param {Line} line
   * @param {Promise<import("../response-stream.js").ResponseStream | null>} finding
   * @param {Abort} abort
   */
  async #stopFound(chatId, line, finding, abort) {
    const { onStopFailed = reportFailure } = this.#own;
    try {
      const stream = await finding;
      if (stream !== null) abort.onStop(() => this.#stop(chatId, line, stream));
    } catch (error) {
      abort.onStop(() => onStopFailed(error, chatId));
    }
  }

  /** @param {Promise<void>} stopping */
  #keep(stopping) {
    const kept = stopping.finally(() => this.#stopping.delete(kept));
    this.#stopping.add(kept);
  }

  /**
   * @param {AbortSignal | undefined} signal
   * @param {(() => boolean) | null} isSuperseded
   */
  #abort(signal, isSuperseded) {
    const onJudged = (/** @type {Abort} */ judged) => this.#aborts.delete(judged);
    const abort = new Abort({ signal, isSuperseded, onJudged, timer: new Timer(this.#clock) });
    if (!abort.isStop) this.#aborts.add(abort);
    return abort;
  }

  /** @param {Abort} abort */
  #forget(abort) {
    abort.release();
    this.#aborts.delete(abort);
  }
}

/**
 * Pass on the chunks of the next event that has any.
 *
 * @param {import("../response-stream.js").ResponseStream} stream
 * @param {ChunkFold} fold
 * @param {ReadableStreamDefaultController<any>} controller
 * @returns {Promise<boolean>} False: the response has ended.
 */
async function pullChunks(stream, fold, controller) {
  for (;;) {
    const { done, value } = await stream.next();
    if (done) return false;
    const chunks = fold.chunksOf(value);
    for (const chunk of chunks) controller.enqueue(chunk);
    if (chunks.length) return true;
  }
}

/**
 * Of several live responses the one that was created last, from its first event. The others are left: they go on.
 *
 * @param {import("../response-stream.js").ResponseStream[]} streams
 * @param {Client} client
 */
async function newest(streams, client) {
  const firsts = await Promise.all(streams.map(async (stream) => (await stream.next()).value));
  const times = firsts.map((event) => /** @type {number} */ (event.response.created_at));
  const place = times.indexOf(Math.max(...times));
  for (const [at, stream] of streams.entries()) if (at !== place) stream.detach();
  return client.retrieve(firsts[place].response_id);
}

/**
 * @param {unknown} error
 * @param {string} chatId
 */
function reportFailure(error, chatId) {
  console.error(`The stop of chat ${chatId} could not be asked for.`, error);
}
