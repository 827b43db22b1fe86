/**
 * Ledger: commands that were not answered yet.
 *
 * Owns their order and the bound on their number. Does not send. A command stays here over lost connections, and is said
 * again on each new socket: a create because its `event_id` makes it idempotent, a cancel because it asserts the same
 * stop. Policy when full: the caller is refused.
 *
 * @typedef {object} Command
 * @property {{ type: string, event_id: string, [member: string]: any }} frame
 * @property {(event: any) => void} onAnswer
 * @property {(error: unknown) => void} onRefused
 * @property {boolean} [wasSent] On any socket: from then on it may have taken effect.
 * @property {number} [refusals] How often the server said: later.
 */
import { OverloadedError } from "./errors.js";

const MOST = 1000;

export class Ledger {
  /** @type {Map<string, Command>} */
  #commands = new Map();

  /** @param {Command} command */
  add(command) {
    if (this.#commands.size >= MOST) {
      const message = `${MOST} commands wait for an answer: wait for some of them.`;
      throw new OverloadedError({ code: "too_many_unanswered", message }, 429);
    }
    this.#commands.set(command.frame.event_id, command);
  }

  /** @param {string | undefined} eventId */
  find(eventId) {
    return eventId === undefined ? undefined : this.#commands.get(eventId);
  }

  /** @param {string} eventId */
  remove(eventId) {
    return this.#commands.delete(eventId);
  }

  /** All, in the order in which they were asked for. */
  all() {
    return [...this.#commands.values()];
  }

  /** The one with the largest frame among those that were sent: what a server means that finds a frame too big. */
  largestSent() {
    const size = (/** @type {Command} */ command) => JSON.stringify(command.frame).length;
    return this.all()
      .filter((command) => command.wasSent)
      .reduce((/** @type {Command | null} */ most, command) => (most === null || size(command) > size(most) ? command : most), null);
  }
}
