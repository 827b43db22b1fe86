/**
 * Dialogue: what a client says and hears, over one socket after another.
 *
 * Owns whose each event is, and when what was said is said again: on each new socket, and a while after the server could
 * not obey. Does not own the socket (`Connection`), what waits for an answer (`Ledger`), what is followed (`Streams`), nor
 * what any command means (`Client`).
 *
 * Guarantees: each command is answered or refused, and each stream ends, also when the dialogue does; leaving a stream
 * stops nothing.
 */
import { backoffMs } from "./backoff.js";
import { Timer } from "./clock.js";
import { Connection } from "./connection.js";
import { AndonError } from "./errors.js";
import { Ledger } from "./ledger.js";
import { Streams } from "./streams.js";

export class Dialogue {
  /** The responses that are followed. */
  streams;
  #ledger;
  #connection;
  #clock;
  #backoff;
  // Set while something waits to be said again that the server could not obey.
  #again;
  // A stream was left, and the socket is about to be.
  #isLeaving = false;
  // Why there is no going on.
  /** @type {Error | null} */
  #end = null;

  /**
   * @param {import("./connection.js").ConnectionOptions} options
   * @param {import("./connection.js").Listener["onState"]} onState
   */
  constructor(options, onState) {
    const { clock, timings } = options;
    this.#clock = clock;
    this.#backoff = timings.backoff;
    this.#again = new Timer(clock);
    const send = (/** @type {object} */ frame) => this.#connection.send(frame);
    this.streams = new Streams(send);
    this.#ledger = new Ledger(send);
    this.#connection = new Connection(options, {
      onOpen: () => this.#opened(),
      onEvent: (event, size) => this.#heard(event, size),
      onLost: (close) => this.#lost(close),
      onGaveUp: (error) => this.#finish(error),
      onState,
    });
  }

  get state() {
    return this.#connection.state;
  }

  /** Begin, if it has not begun. */
  start() {
    this.check();
    this.#connection.start();
  }

  wake() {
    this.#connection.wake();
  }

  /** End it for good, from this side. */
  close() {
    this.#connection.close();
    this.#finish(null);
  }

  /** Throw why there is no going on, if there is none. */
  check() {
    if (this.#end !== null) throw this.#end;
  }

  /**
   * Say a command until it is answered or refused.
   *
   * @param {import("./ledger.js").Command} command
   */
  say(command) {
    this.check();
    this.#ledger.add(command);
    this.#connection.start();
  }

  /**
   * Drop a create that was never sent: nothing is there to be stopped.
   *
   * @param {import("./response-stream.js").ResponseStream} stream
   * @returns {boolean} False: it was sent, and may have taken effect.
   */
  takeBack(stream) {
    const lane = this.streams.laneOf(stream);
    if (lane === undefined || !this.#ledger.isUnsent(lane)) return false;
    this.#settle(lane);
    stream.abandon();
    return true;
  }

  /**
   * A stream was left by its reader. Only a socket that goes away is a detach to the server, so we leave this one, and
   * come back for the rest.
   *
   * @param {import("./response-stream.js").ResponseStream} stream
   */
  leave(stream) {
    const lane = this.streams.laneOf(stream);
    // It may have been created: that it goes on is what leaving means. If it was not, it never will be.
    if (lane !== undefined) this.#settle(lane);
    this.streams.forget(stream);
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    // Once for all that are left together.
    void Promise.resolve().then(() => {
      this.#isLeaving = false;
      this.#connection.renew();
    });
  }

  // ── the socket's life ──────────────────────────────────────────────────────────────────────────────────────────

  #opened() {
    this.streams.opened();
    this.#ledger.opened();
  }

  /** @param {import("./connection.js").Close} close */
  #lost(close) {
    this.#again.clear();
    this.streams.lost(close);
    this.#ledger.lost(close);
  }

  /** @param {Error | null} error Null: it was closed here. */
  #finish(error) {
    if (this.#end !== null) return;
    this.#end = error ?? new AndonError("This client was closed.");
    this.#again.clear();
    this.streams.end(error);
    this.#ledger.end(this.#end);
  }

  // ── hearing ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param {any} event
   * @param {number} size
   */
  #heard(event, size) {
    if (event.type === "error") {
      const refusals = this.streams.refused(event) ?? this.#ledger.refused(event);
      if (refusals > 0) this.#sayAgain(refusals);
    } else if (event.sequence_number !== undefined && event.response_id !== undefined) {
      const lane = this.streams.take(event, size);
      if (lane !== undefined) this.#settle(lane);
    } else {
      this.#ledger.take(event);
    }
  }

  /** @param {string} lane Its create is answered, or of no interest any more. */
  #settle(lane) {
    this.streams.forgetLane(lane);
    this.#ledger.settle(lane);
  }

  /**
   * Say again, after a while, what the server could not obey.
   *
   * @param {number} refusals How often it could not.
   */
  #sayAgain(refusals) {
    if (this.#again.isSet) return;
    this.#again.set(backoffMs(refusals, this.#backoff, this.#clock.random()), () => {
      this.streams.again();
      this.#ledger.again();
    });
  }
}
