/**
 * Cursor: the number check of one response. Its events are numbered 0, 1, 2, … without gap; the cursor lets each through
 * once and in order, whatever a reconnect repeats or a fault leaves out.
 */
export declare class Cursor {
    last: number;
    /** @param {number} last The number that was taken last; -1: none. */
    constructor(last?: number);
    /**
     * Take the next number.
     *
     * @param {number} number
     * @returns {"next" | "seen" | "gap"} Only after `next` it is taken.
     */
    take(number: number): "next" | "seen" | "gap";
}
