/**
 * Close codes: what the end of a socket means for its client, in one table. The server's side of it is
 * `andon/closecodes.py`; docs/reference.md lists both.
 */

export const CloseCode = Object.freeze({
  DONE: 1000,
  GOING_AWAY: 1001,
  ABNORMAL: 1006,
  FRAME_TOO_BIG: 1009,
  INTERNAL: 1011,
  RESTARTING: 1012,
  OVERLOADED: 1013,
  UNAUTHORIZED: 3000,
  FORBIDDEN: 3003,
  TOO_SLOW: 3008,
});

/**
 * - `at_once`: reconnect now, to another address if there is one: this server only went, and was well until then.
 * - `retry`: reconnect after a back-off.
 * - `later`: the same, after a longer one.
 * - `token`: get another token, then reconnect; give up if that is refused, too.
 * - `give_up`: do not reconnect.
 *
 * @typedef {"at_once" | "retry" | "later" | "token" | "give_up"} Verdict
 */

/** @type {Readonly<Record<number, Verdict>>} */
const VERDICTS = Object.freeze({
  [CloseCode.GOING_AWAY]: "at_once",
  [CloseCode.RESTARTING]: "at_once",
  [CloseCode.TOO_SLOW]: "at_once",
  [CloseCode.OVERLOADED]: "later",
  [CloseCode.UNAUTHORIZED]: "token",
  [CloseCode.FORBIDDEN]: "give_up",
});

/**
 * @param {number} code
 * @returns {Verdict} `retry` for whatever the table does not name: a lost network has no code of its own.
 */
export function verdictOf(code) {
  return VERDICTS[code] ?? "retry";
}
