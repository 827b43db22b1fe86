/**
 * Connection: one socket at a time to any replica, for as long as the client wants one.
 *
 * Owns dialling, and what is noticed of the network. Does not own what a loss leads to (`Recovery`), nor what is said on
 * the socket: it passes frames up, and those who listen say again what was not answered (`onOpen`).
 *
 * Guarantees: at most one socket is in use; nothing of a socket that was given up is heard any more; it stays connected
 * until `close`, or until the server says for good that it will not have us (`onGaveUp`).
 *
 * - `idle`: not begun. `connecting`: a token is asked for, or a handshake runs. `open`: the server answered.
 * - `waiting`: for the next attempt. `closed`: for good.
 *
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} ConnectionState
 *
 * @typedef {{ code: number, reason: string }} Close
 *
 * @typedef {object} ConnectionOptions
 * @property {string[]} addresses Endpoints, query included; the next one is tried where one is left.
 * @property {any} WebSocket The constructor.
 * @property {string | import("./token.js").TokenCallback | undefined} token
 * @property {import("./timings.js").Timings} timings
 * @property {import("./clock.js").Clock} clock
 * @property {boolean} watchesPage Heed what a browser tells of its page and its network.
 *
 * @typedef {object} Listener
 * @property {() => void} onOpen A new socket takes frames; nothing said on an earlier one need have arrived.
 * @property {(event: any, size: number) => void} onEvent One parsed frame and its length.
 * @property {(close: Close) => void} onLost The socket is gone; another follows by itself.
 * @property {(error: Error) => void} onGaveUp No other follows.
 * @property {(state: ConnectionState, close: Close | null) => void} onState
 */
import { Timer } from "./clock.js";
import { CloseCode } from "./close-codes.js";
import { AndonError } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { watchPage } from "./page.js";
import { Recovery } from "./recovery.js";
import { Renewal } from "./renewal.js";
import { Token } from "./token.js";

const PROTOCOL = "andon.v1";

export class Connection {
  /** @type {ConnectionState} */
  state = "idle";
  #addresses;
  #WebSocket;
  #connectTimeoutMs;
  #listener;
  #token;
  #recovery;
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
  #unwatch = () => {};

  /**
   * @param {ConnectionOptions} options
   * @param {Listener} listener
   */
  constructor({ addresses, WebSocket, token, timings, clock, watchesPage }, listener) {
    this.#addresses = addresses;
    this.#WebSocket = WebSocket;
    this.#connectTimeoutMs = timings.connectTimeoutMs;
    this.#listener = listener;
    this.#token = new Token(token, clock);
    this.#recovery = new Recovery({ token: this.#token, timings, clock });
    this.#timer = new Timer(clock);
    this.#renewal = new Renewal({ token: this.#token, clock, send: (frame) => this.send(frame) });
    this.#heartbeat = new Heartbeat({
      clock,
      intervalMs: timings.heartbeatMs,
      timeoutMs: timings.pongTimeoutMs,
      ping: () => this.send({ type: "ping" }),
      dead: () => this.#lost({ code: CloseCode.ABNORMAL, reason: "no answer to a ping" }),
    });
    if (watchesPage) this.#unwatch = watchPage({ wake: () => this.wake(), doubt: () => this.#doubt() });
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
    else this.#doubt();
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
    this.#unwatch();
    this.#leave();
    this.#attempt += 1;
    this.#setState("closed", null);
  }

  // ── opening ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #dial() {
    const attempt = (this.#attempt += 1);
    this.#setState("connecting", null);
    this.#timer.set(this.#connectTimeoutMs, () => this.#lost({ code: CloseCode.ABNORMAL, reason: "no answer" }));
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
    this.#recovery.opening();
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
    if (event.type === "error") this.#recovery.complained(event);
    // An error alone is no welcome: a token that is refused is told of so, on a socket that was accepted for that.
    else if (this.state === "connecting") this.#welcome();
    if (event.type === "pong") return;
    if (!this.#renewal.take(event)) this.#listener.onEvent(event, /** @type {string} */ (data).length);
  }

  #welcome() {
    this.#timer.clear();
    this.#recovery.welcomed();
    this.#renewal.start();
    this.#setState("open", null);
  }

  // ── losing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The network is said to be gone, or to have changed: see whether anybody is there. */
  #doubt() {
    if (this.isOpen) this.#heartbeat.probe();
  }

  /** @param {Close} close */
  #lost(close) {
    const wasWell = this.state === "open";
    this.#leave();
    this.#attempt += 1;
    this.#next += 1;
    this.#listener.onLost(close);
    if (/** @type {ConnectionState} */ (this.state) === "closed") return; // who was told has closed it
    const next = this.#recovery.after(close, wasWell);
    if (typeof next === "number") this.#wait(next, close);
    else this.#giveUp(next);
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
