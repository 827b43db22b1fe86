/**
 * Back-off: how long to wait before the next attempt.
 *
 * Half of each wait is fixed and half is chance: clients that lost the same server do not come back in the same instant,
 * and none comes back in a busy loop. Does no I/O and keeps no time: an attempt's number in, milliseconds out.
 *
 * @typedef {{ baseMs: number, maxMs: number }} BackoffBounds
 */
export type BackoffBounds = {
    baseMs: number;
    maxMs: number;
};
/**
 * @param {number} failures Attempts that failed before this one, 0 or more.
 * @param {BackoffBounds} bounds
 * @param {number} chance A number from 0 to 1.
 * @returns {number} Milliseconds.
 */
export declare function backoffMs(failures: number, { baseMs, maxMs }: BackoffBounds, chance: number): number;
