/**
 * Timings: how long a client waits for what, and what it takes where nobody says otherwise.
 *
 * @typedef {object} Timings All in milliseconds.
 * @property {number} heartbeatMs Silence after which a ping is sent.
 * @property {number} pongTimeoutMs Silence after a ping that means a dead network.
 * @property {number} connectTimeoutMs What a token, a handshake and the first answer may take together.
 * @property {import("./backoff.js").BackoffBounds} backoff Between attempts.
 * @property {import("./backoff.js").BackoffBounds} overloaded The same after 1013.
 */
export type Timings = {
    /**
     * Silence after which a ping is sent.
     */
    heartbeatMs: number;
    /**
     * Silence after a ping that means a dead network.
     */
    pongTimeoutMs: number;
    /**
     * What a token, a handshake and the first answer may take together.
     */
    connectTimeoutMs: number;
    /**
     * Between attempts.
     */
    backoff: import("./backoff.js").BackoffBounds;
    /**
     * The same after 1013.
     */
    overloaded: import("./backoff.js").BackoffBounds;
};
/** @type {Timings} */
export declare const TIMINGS: Timings;
