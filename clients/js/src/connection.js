/**
 * Connection: one socket at a time to any replica, for as long as the client wants one.
 *
 * Owns dialling, the back-off and what each close code leads to. Does not own what is said on the
 * socket: it passes frames up, and those who listen say again what was not answered (`onOpen`).
 *
 * Guarantees: at most one socket is in use; nothing of a socket that was given up is heard any more; it stays connected
 * until `close`, or until the server says for good that it will not have us (`onGaveUp`).
 *
 * - `idle`: not begun. `connecting`: a token is asked for, or a handshake runs. `open`: the server answered.
 * - `waiting`: for the next attempt. `closed`: for good.
 *
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} ConnectionState
 *
 * @typedef {object} Timings All in milliseconds.
 * @property {number} heartbeatMs Silence after which a ping is sent.
 * @property {number} pongTimeoutMs Silence after a ping that means a dead network.
 * @property {number} connectTimeoutMs What a token, a handshake and the first answer may take together.
 * @property {import("./backoff.js").BackoffBounds} backoff Between attempts.
 * @property {import("./backoff.js").BackoffBounds} overloaded The same after 1013.
 *
 * @typedef {{ code: number, reason: string }} Close
 *
 * @typedef {object} Listener
 * @property {() => void} onOpen A new socket takes frames; nothing said on an earlier one need have arrived.
 * @property {(event: any, size: number) => void} onEvent One parsed frame and its length.
 * @property {(close: Close) => void} onLost The socket is gone; another follows by itself.
 * @property {(error: Error) => void} onGaveUp No other follows.
 * @property {(state: ConnectionState, close: Close | null) => void} onState
 */
import { backoffMs } from "./backoff.js";
import { Timer } from "./clock.js";
import { CloseCode, verdictOf } from "./close-codes.js";
import { AndonError, ForbiddenError, UnauthorizedError } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { Renewal } from "./renewal.js";
import { Token } from "./token.js";

const PROTOCOL = "andon.v1";

export class Connection {
  /** @type {ConnectionState} */
  state = "idle";
  #addresses;
  #WebSocket;
  #timings;
  #clock;
  #listener;
  #token;
  #heartbeat;
  // The next attempt, or the end of the patience with the present one.
  #timer;
  #renewal;
  // The socket in use; one that was given up is heard no more.
  /** @type {any} */
  #socket = null;
  // Counts attempts, so that a token that comes late opens nothing.
  #attempt = 0;
  // Which address is next.
  #next = 0;
  // Attempts since the server last answered.
  #failures = 0;
  // Tokens in a row that were refused.
  #refusals = 0;
  // The last error that answered nothing we asked: it tells why a close follows.
  /** @type {string | null} */
  #complaint = null;

  /**
   * @param {object} options
   * @param {string[]} options.addresses Endpoints, query included; the next one is tried where one is left.
   * @param {any} options.WebSocket The constructor.
   * @param {string | import("./token.js").TokenCallback | undefined} options.token
   * @param {Timings} options.timings
   * @param {import("./clock.js").Clock} options.clock
   * @param {Listener} options.listener
   */
  constructor({ addresses, WebSocket, token, timings, clock, listener }) {
    this.#addresses = addresses;
    this.#WebSocket = WebSocket;
    this.#timings = timings;
    this.#clock = clock;
    this.#listener = listener;
    this.#token = new Token(token, clock);
    this.#timer = new Timer(clock);
    this.#renewal = new Renewal({ token: this.#token, clock, send: (frame) => this.send(frame) });
    this.#heartbeat = new Heartbeat({
      clock,
      intervalMs: timings.heartbeatMs,
      timeoutMs: timings.pongTimeoutMs,
      ping: () => this.send({ type: "ping" }),
      dead: () => this.#lost({ code: CloseCode.ABNORMAL, reason: "no answer to a ping" }),
    });
  }

  /** Whether frames can be sent. */
  get isOpen() {
    return this.#socket?.readyState === 1;
  }

  /** Begin, if it has not begun. */
  start() {
    if (this.state === "idle") void this.#dial();
  }

  /**
   * Send a frame; false, and nothing is sent, where no socket is open: `onOpen` tells when one is.
   *
   * @param {object} frame
   */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** The network may be back, or gone: connect at once, or ask at once whether anybody is there. */
  wake() {
    if (this.state === "waiting") void this.#dial();
    else if (this.isOpen) this.#heartbeat.probe();
  }

  /** The network is said to be gone: see whether it is. */
  doubt() {
    if (this.isOpen) this.#heartbeat.probe();
  }

  /** Leave the present socket for another: what followed it is followed no more, as far as the server knows. */
  renew() {
    if (this.#socket === null) return;
    this.#leave();
    this.#listener.onLost({ code: CloseCode.DONE, reason: "left" });
    void this.#dial();
  }

  /** Close it for good. */
  close() {
    if (this.state === "closed") return;
    this.#leave();
    this.#attempt += 1;
    this.#setState("closed", null);
  }

  // ── opening ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #dial() {
    const attempt = (this.#attempt += 1);
    this.#setState("connecting", null);
    this.#timer.set(this.#timings.connectTimeoutMs, () => this.#lost({ code: CloseCode.ABNORMAL, reason: "no answer" }));
    let token;
    try {
      token = await this.#token.forConnect();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (error instanceof AndonError) this.#giveUp(error);
      else this.#lost({ code: CloseCode.ABNORMAL, reason: `no token: ${messageOf(error)}` });
      return;
    }
    if (attempt === this.#attempt) this.#open(token);
  }

  /** @param {string | null} token */
  #open(token) {
    const address = /** @type {string} */ (this.#addresses[this.#next % this.#addresses.length]);
    // Also without a token: to whoever speaks it a gateway says in a close code why it refuses.
    const protocols = token === null ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`];
    let socket;
    try {
      socket = new this.#WebSocket(address, protocols);
    } catch (error) {
      this.#giveUp(new AndonError(`No WebSocket to ${address}: ${messageOf(error)}`, { cause: error }));
      return;
    }
    this.#socket = socket;
    this.#complaint = null;
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      this.#heartbeat.start();
      this.#listener.onOpen();
    };
    socket.onmessage = (/** @type {{ data: unknown }} */ message) => {
      if (socket === this.#socket) this.#receive(message.data);
    };
    socket.onclose = (/** @type {{ code?: number, reason?: string }} */ { code, reason }) => {
      if (socket === this.#socket) this.#lost({ code: code ?? CloseCode.ABNORMAL, reason: reason ?? "" });
    };
    // Its close follows, and tells as much: no platform says here why.
    socket.onerror = () => {};
  }

  // ── hearing ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @param {unknown} data */
  #receive(data) {
    let event;
    try {
      event = JSON.parse(/** @type {string} */ (data));
    } catch {
      this.#lost({ code: CloseCode.ABNORMAL, reason: "a frame that is no JSON" });
      return;
    }
    this.#heartbeat.heard();
    if (event.type === "error") this.#complaint = event.error?.message ?? null;
    // An error alone is no welcome: a token that is refused is told of so, on a socket that was accepted for that.
    else if (this.state === "connecting") this.#welcome();
    if (event.type === "pong") return;
    if (!this.#renewal.take(event)) this.#listener.onEvent(event, /** @type {string} */ (data).length);
  }

  #welcome() {
    this.#timer.clear();
    this.#failures = 0;
    this.#refusals = 0;
    this.#renewal.start();
    this.#setState("open", null);
  }

  // ── losing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @param {Close} close */
  #lost(close) {
    const hadAnswered = this.state === "open";
    this.#leave();
    this.#attempt += 1;
    this.#next += 1;
    this.#listener.onLost(close);
    if (/** @type {ConnectionState} */ (this.state) === "closed") return; // who was told has closed it
    this.#decide(close, hadAnswered);
  }

  /**
   * @param {Close} close
   * @param {boolean} hadAnswered
   */
  #decide(close, hadAnswered) {
    const { backoff, overloaded } = this.#timings;
    switch (verdictOf(close.code)) {
      case "give_up":
        this.#giveUp(new ForbiddenError(this.#why(close)));
        return;
      case "token":
        if (!this.#token.canRenew || this.#refusals > 0) {
          this.#giveUp(new UnauthorizedError(this.#why(close)));
          return;
        }
        this.#refusals += 1;
        this.#token.refuse();
        this.#wait(0, close);
        return;
      case "at_once":
        // Only where it was well before: servers that close at once whoever comes would be dialled in a busy loop.
        this.#wait(hadAnswered ? 0 : this.#backoff(backoff), close);
        return;
      case "later":
        this.#wait(this.#backoff(overloaded), close);
        return;
      default:
        this.#wait(this.#backoff(backoff), close);
    }
  }

  /** @param {import("./backoff.js").BackoffBounds} bounds */
  #backoff(bounds) {
    const ms = backoffMs(this.#failures, bounds, this.#clock.random());
    this.#failures += 1;
    return ms;
  }

  /**
   * @param {number} ms
   * @param {Close} close
   */
  #wait(ms, close) {
    this.#timer.set(ms, () => void this.#dial());
    this.#setState("waiting", close);
  }

  /** @param {Error} error */
  #giveUp(error) {
    this.close();
    this.#listener.onGaveUp(error);
  }

  /** Have nothing more to do with the present socket. A dead network would keep its close waiting, so nobody does. */
  #leave() {
    const socket = this.#socket;
    this.#socket = null;
    this.#timer.clear();
    this.#renewal.stop();
    this.#heartbeat.stop();
    socket?.close(CloseCode.DONE);
  }

  /** @param {Close} close */
  #why({ code, reason }) {
    return this.#complaint ?? `The server closed the connection with ${code}${reason ? ` (${reason})` : ""}.`;
  }

  /**
   * @param {ConnectionState} state
   * @param {Close | null} close
   */
  #setState(state, close) {
    if (state === this.state) return;
    this.state = state;
    this.#listener.onState(state, close);
  }
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
