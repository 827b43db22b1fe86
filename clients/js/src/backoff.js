/**
 * Back-off: how long to wait before the next attempt.
 *
 * Half of each wait is fixed and half is chance: clients that lost the same server do not come back in the same instant,
 * and none comes back in a busy loop. Does no I/O and keeps no time: an attempt's number in, milliseconds out.
 *
 * @typedef {{ baseMs: number, maxMs: number }} BackoffBounds
 */

/**
 * @param {number} failures Attempts that failed before this one, 0 or more.
 * @param {BackoffBounds} bounds
 * @param {number} chance A number from 0 to 1.
 * @returns {number} Milliseconds.
 */
export function backoffMs(failures, { baseMs, maxMs }, chance) {
  const most = Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30));
  return most / 2 + (chance * most) / 2;
}
