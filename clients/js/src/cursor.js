/**
 * Cursor: the number check of one response. Its events are numbered 0, 1, 2, … without gap; the cursor lets each through
 * once and in order, whatever a reconnect repeats or a fault leaves out.
 */
export class Cursor {
  /** @param {number} last The number that was taken last; -1: none. */
  constructor(last = -1) {
    this.last = last;
  }

  /**
   * Take the next number.
   *
   * @param {number} number
   * @returns {"next" | "seen" | "gap"} Only after `next` it is taken.
   */
  take(number) {
    if (number <= this.last) return "seen";
    if (number > this.last + 1) return "gap";
    this.last = number;
    return "next";
  }
}
