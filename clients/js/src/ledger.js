/**
 * Ledger: the commands of a client that were not answered yet.
 *
 * Owns their order, the bound on their number, whose answer an event is, and what is said again: all on each new socket, a
 * create because its `event_id` makes it idempotent, a cancel because it asserts the same stop; and after a while what the
 * server could not obey. Does not own sockets, nor that while.
 *
 * Guarantees: each is answered or refused once, however many sockets it takes. Policy when full: the caller is refused.
 *
 * @typedef {object} Command
 * @property {{ type: string, event_id: string, [member: string]: any }} frame
 * @property {(event: any) => void} onAnswer
 * @property {(error: unknown) => void} onRefused
 * @property {boolean} [wasSent] On any socket: from then on it may have taken effect.
 * @property {number} [refusals] How often the server said: later.
 */
import { CloseCode } from "./close-codes.js";
import { OverloadedError, RequestError, errorOf, isForLater } from "./errors.js";

const MOST = 1000;
// A command that the server cannot obey now is said again so often, with a back-off between.
const MOST_REFUSALS = 8;
// What tells that an answer is not the last one.
const MORE_FOLLOWS = "response.cancel.accepted";

export class Ledger {
  #send;
  /** @type {Map<string, Command>} */
  #commands = new Map();

  /** @param {(frame: object) => boolean} send False: no socket is open. */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Say a command, now or on the next socket, until it is answered.
   *
   * @param {Command} command
   */
  add(command) {
    if (this.#commands.size >= MOST) {
      const message = `${MOST} commands wait for an answer: wait for some of them.`;
      throw new OverloadedError({ code: "too_many_unanswered", message }, 429);
    }
    this.#commands.set(command.frame.event_id, command);
    this.#say(command);
  }

  /** A new socket is open: say all, in the order in which they were asked for. */
  opened() {
    for (const command of this.#all()) this.#say(command);
  }

  /** Say again what the server could not obey. */
  again() {
    for (const command of this.#all()) if (command.refusals) this.#say(command);
  }

  /** @param {import("./connection.js").Close} close */
  lost({ code }) {
    const command = code === CloseCode.FRAME_TOO_BIG ? this.#largestSent() : null;
    if (command === null) return;
    const message = "The frame is larger than the server takes. Send less in one.";
    this.#refuse(command, new RequestError({ code: "frame_too_big", message }, 413));
  }

  /**
   * An event of no response: one of them is answered, as a rule.
   *
   * @param {any} event
   */
  take(event) {
    const command = this.#commands.get(event.event_id);
    if (command === undefined) return; // it answers what an earlier socket said, or is of a type that we do not know
    if (event.type !== MORE_FOLLOWS) this.#commands.delete(event.event_id);
    command.onAnswer(event);
  }

  /**
   * An `error` event.
   *
   * @param {any} event
   * @returns {number} How often the command was put off: call `again` after a while. 0: it was not.
   */
  refused(event) {
    const command = this.#commands.get(event.event_id);
    if (command === undefined) return 0;
    command.refusals = (command.refusals ?? 0) + 1;
    if (isForLater(event) && command.refusals < MOST_REFUSALS) return command.refusals;
    this.#refuse(command, errorOf(event));
    return 0;
  }

  /**
   * Whether the create of this lane waits to be sent for the first time.
   *
   * @param {string} lane
   */
  isUnsent(lane) {
    return this.#inLane(lane).some((command) => !command.wasSent);
  }

  /**
   * The create of this lane is answered by its events, or of no interest any more.
   *
   * @param {string} lane
   */
  settle(lane) {
    for (const { frame } of this.#inLane(lane)) this.#commands.delete(frame.event_id);
  }

  /**
   * Nothing is said any more.
   *
   * @param {Error} error
   */
  end(error) {
    for (const command of this.#all()) this.#refuse(command, error);
  }

  /** @param {Command} command */
  #say(command) {
    if (this.#send(command.frame)) command.wasSent = true;
  }

  /**
   * @param {Command} command
   * @param {Error} error
   */
  #refuse(command, error) {
    this.#commands.delete(command.frame.event_id);
    command.onRefused(error);
  }

  /** A copy, in their order: whoever is told of one may add another. */
  #all() {
    return [...this.#commands.values()];
  }

  /** @param {string} lane */
  #inLane(lane) {
    return this.#all().filter(({ frame }) => frame["stream_id"] === lane);
  }

  /** The one with the largest frame among those that were sent: what a server means that finds a frame too big. */
  #largestSent() {
    const size = (/** @type {Command} */ command) => JSON.stringify(command.frame).length;
    return this.#all()
      .filter((command) => command.wasSent)
      .reduce((/** @type {Command | null} */ most, command) => (most === null || size(command) > size(most) ? command : most), null);
  }
}
