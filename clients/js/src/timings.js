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

/** @type {Timings} */
export const TIMINGS = Object.freeze({
  heartbeatMs: 15_000,
  pongTimeoutMs: 8_000,
  connectTimeoutMs: 10_000,
  backoff: { baseMs: 250, maxMs: 15_000 },
  overloaded: { baseMs: 2_000, maxMs: 30_000 },
});
