/**
 * Streams: the responses that a client follows.
 *
 * Owns which stream each event belongs to, by its response's id, or by its lane while that has none; what was asked for on
 * the present socket; and what is asked for again on the next. Does not own the events (`ResponseStream`), nor sockets.
 *
 * Guarantees: on each new socket every stream that has not ended is retrieved from its last number on; one stream follows
 * a response, a later one takes over.
 */
import { CloseCode } from "./close-codes.js";
import { JobLostError, NotFoundError, errorOf, isForLater } from "./errors.js";
import { newId } from "./ids.js";

const JOB_LOST = "job_lost";

export class Streams {
  #send;
  // Response id to its stream, and lane to the stream whose response has no id yet.
  /** @type {Map<string, import("./response-stream.js").ResponseStream>} */
  #named = new Map();
  /** @type {Map<string, import("./response-stream.js").ResponseStream>} */
  #lanes = new Map();
  // `event_id` to the stream that it asked for, on the present socket.
  /** @type {Map<string, import("./response-stream.js").ResponseStream>} */
  #asked = new Map();
  // Those that the server could not let us follow just now.
  /** @type {Set<import("./response-stream.js").ResponseStream>} */
  #unfollowed = new Set();
  // The last socket was closed because a response was lost: one that is not found now is that one.
  #lostJob = false;

  /** @param {(frame: object) => boolean} send False: no socket is open. */
  constructor(send) {
    this.#send = send;
  }

  /** @param {string} id */
  find(id) {
    return this.#named.get(id);
  }

  /**
   * @param {string} id
   * @param {import("./response-stream.js").ResponseStream} stream
   */
  add(id, stream) {
    this.#named.get(id)?.leave();
    this.#named.set(id, stream);
  }

  /**
   * Await a response that is being created in a lane.
   *
   * @param {string} lane
   * @param {import("./response-stream.js").ResponseStream} stream
   */
  await(lane, stream) {
    this.#lanes.set(lane, stream);
  }

  /** @param {import("./response-stream.js").ResponseStream} stream */
  laneOf(stream) {
    for (const [lane, other] of this.#lanes) if (other === stream) return lane;
    return undefined;
  }

  /** @param {string} lane */
  forgetLane(lane) {
    this.#lanes.delete(lane);
  }

  /** @param {import("./response-stream.js").ResponseStream} stream */
  forget(stream) {
    if (stream.id !== null && this.#named.get(stream.id) === stream) this.#named.delete(stream.id);
  }

  /**
   * Ask for what comes after its last number; where no socket is open, the next begins with it.
   *
   * @param {import("./response-stream.js").ResponseStream} stream
   */
  follow(stream) {
    const event_id = newId("follow");
    const { id: response_id, lastSequenceNumber } = stream;
    const after = lastSequenceNumber < 0 ? {} : { starting_after: lastSequenceNumber };
    if (!this.#send({ type: "response.retrieve", response_id, event_id, ...after })) return;
    stream.isAwaited = true;
    this.#asked.set(event_id, stream);
  }

  /** A new socket is open: ask for all. */
  opened() {
    for (const [id, stream] of this.#named) {
      if (stream.isOver) this.#named.delete(id);
      else this.follow(stream);
    }
  }

  /** Ask once more for those that could not be followed. */
  again() {
    for (const stream of this.#unfollowed) this.follow(stream);
    this.#unfollowed.clear();
  }

  /** @param {import("./connection.js").Close} close */
  lost({ code, reason }) {
    this.#asked.clear();
    this.#unfollowed.clear();
    this.#lostJob = code === CloseCode.INTERNAL && reason === JOB_LOST;
  }

  /**
   * An event of a response.
   *
   * @param {import("./response-stream.js").ResponseEvent} event
   * @param {number} size
   * @returns {string | undefined} The lane whose create it answers, if it does.
   */
  take(event, size) {
    const lane = event["stream_id"];
    const created = this.#lanes.get(lane);
    if (created !== undefined) {
      this.#lanes.delete(lane);
      this.add(event.response_id, created);
    }
    const stream = this.#named.get(event.response_id);
    if (stream === undefined) return undefined; // one that was left
    stream.take(event, size);
    if (stream.isOver) this.#named.delete(event.response_id);
    // A create that was repeated finds its response under way, where this socket follows it already.
    if (created === undefined) return undefined;
    if (event.sequence_number > 0) this.follow(created);
    return lane;
  }

  /**
   * An `error` event.
   *
   * @param {any} event
   * @returns {0 | 1 | undefined} 1: the retrieve was put off, call `again` after a while. 0: it was answered. Undefined:
   *   it is of no retrieve.
   */
  refused(event) {
    const stream = this.#asked.get(event.event_id);
    if (stream === undefined) return undefined;
    this.#asked.delete(event.event_id);
    if (isForLater(event)) {
      this.#unfollowed.add(stream);
      return 1;
    }
    const error = errorOf(event);
    const isLost = this.#lostJob && error instanceof NotFoundError;
    this.forget(stream);
    stream.fail(isLost ? new JobLostError(`The server's store lost ${stream.id}. Create it anew.`, { cause: error }) : error);
    return 0;
  }

  /**
   * Nothing is followed any more.
   *
   * @param {Error | null} error Null: it was left.
   */
  end(error) {
    for (const stream of [...this.#named.values(), ...this.#lanes.values()]) {
      if (error === null) stream.leave();
      else stream.fail(error);
    }
    this.#named.clear();
    this.#lanes.clear();
  }
}
