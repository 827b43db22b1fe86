/**
 * Token: what the server is shown, and when it must be another one.
 *
 * Owns the present token and what is known of its expiry. Does not own sockets or timers. A token is asked for as seldom
 * as its expiry allows: a reconnect storm is no storm for whoever issues tokens.
 *
 * `fresh` is why it is asked for: `connect` (there is none yet, or it is about to expire), `refused` (the server did not
 * take the last one), `expiring` (the socket stays open, and the server is told of the new one).
 *
 * @typedef {"connect" | "refused" | "expiring"} TokenReason
 * @typedef {string | { token: string, expiresAt?: number }} TokenAnswer `expiresAt` in Unix seconds; where it is not
 *   given and the token is a JWT, its `exp` is taken.
 * @typedef {(asked: { reason: TokenReason }) => TokenAnswer | Promise<TokenAnswer>} TokenCallback
 */
import { AndonError } from "./errors.js";

// A token is renewed when a fifth of its life is left, or a minute if that is less.
const MARGIN_MS = 60_000;
const MARGIN_SHARE = 0.2;
// Whatever clocks and servers say, the next refresh does not come sooner.
const SOONEST_MS = 1000;
// What a WebSocket subprotocol may be made of (RFC 6455 refers to RFC 2616's token).
const SENDABLE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export class Token {
  #clock;
  #source;
  /** @type {string | null} */
  #present = null;
  // When, by the clock's `now`, the present one should be replaced; null: unknown.
  /** @type {number | null} */
  #renewAt = null;
  // The server refused the present one.
  #refused = false;

  /**
   * @param {string | TokenCallback | undefined} source
   * @param {import("./clock.js").Clock} clock
   */
  constructor(source, clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Whether another one can be had. */
  get canRenew() {
    return typeof this.#source === "function";
  }

  /** Milliseconds until it should be renewed; null: unknown, or it cannot be. */
  get renewInMs() {
    if (this.#renewAt === null || !this.canRenew) return null;
    return Math.max(this.#renewAt - this.#clock.now(), SOONEST_MS);
  }

  /** The server did not take it. */
  refuse() {
    this.#refused = true;
  }

  /**
   * Return the token to connect with; null where none is wanted. Rejects with what the callback throws.
   *
   * @returns {Promise<string | null>}
   */
  async forConnect() {
    if (this.#source === undefined) return null;
    if (typeof this.#source === "string") return this.#take(this.#source);
    const lasts = this.#renewAt !== null && this.#renewAt > this.#clock.now();
    if (this.#present !== null && lasts && !this.#refused) return this.#present;
    return this.#ask(this.#refused ? "refused" : "connect");
  }

  /**
   * Return another token for a socket that stays open.
   *
   * @returns {Promise<string>}
   */
  forRefresh() {
    return this.#ask("expiring");
  }

  /**
   * The server told until when it takes us.
   *
   * @param {unknown} expiresAt Unix seconds.
   */
  accepted(expiresAt) {
    if (typeof expiresAt === "number") this.#lastsFor(expiresAt * 1000 - this.#clock.wallMs());
  }

  /** @param {TokenReason} reason */
  async #ask(reason) {
    const source = /** @type {TokenCallback} */ (this.#source);
    const answer = await source({ reason });
    const { token, expiresAt } = typeof answer === "string" ? { token: answer, expiresAt: undefined } : answer;
    this.#refused = false;
    this.#renewAt = null;
    if (expiresAt !== undefined) this.accepted(expiresAt);
    else this.#lastsFor(jwtLifeMs(token, this.#clock.wallMs()));
    return this.#take(token);
  }

  /** @param {string} token */
  #take(token) {
    if (!SENDABLE.test(token)) {
      throw new AndonError("The token cannot be sent: a browser's WebSocket takes letters, digits and !#$%&'*+-.^_`|~ only.");
    }
    this.#present = token;
    return token;
  }

  /** @param {number | null} ms */
  #lastsFor(ms) {
    this.#renewAt = ms === null ? null : this.#clock.now() + ms - Math.min(MARGIN_MS, ms * MARGIN_SHARE);
  }
}

/**
 * Read how long a JWT lasts, unverified: it only tells when to ask for another. A clock that is behind the issuer's makes
 * it no longer than the issuer meant.
 *
 * @param {string} token
 * @param {number} wallMs
 * @returns {number | null} Null where it does not say.
 */
function jwtLifeMs(token, wallMs) {
  const claims = token.split(".")[1];
  if (claims === undefined || typeof atob !== "function") return null;
  try {
    const { exp, iat } = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
    if (typeof exp !== "number") return null;
    const left = exp * 1000 - wallMs;
    return typeof iat === "number" ? Math.min(left, (exp - iat) * 1000) : left;
  } catch {
    return null; // no JWT, but a key with a dot in it: nothing is known of its expiry
  }
}
