/**
 * Close codes: what the end of a socket means for its client, in one table. The server's side of it is
 * `andon/closecodes.py`; docs/reference.md lists both.
 */
export declare const CloseCode: Readonly<{
    DONE: 1000;
    GOING_AWAY: 1001;
    ABNORMAL: 1006;
    FRAME_TOO_BIG: 1009;
    INTERNAL: 1011;
    RESTARTING: 1012;
    OVERLOADED: 1013;
    UNAUTHORIZED: 3000;
    FORBIDDEN: 3003;
    TOO_SLOW: 3008;
}>;
export type Verdict = "at_once" | "retry" | "later" | "token" | "give_up";
/**
 * @param {number} code
 * @returns {Verdict} `retry` for whatever the table does not name: a lost network has no code of its own.
 */
export declare function verdictOf(code: number): Verdict;
