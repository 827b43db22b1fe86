export type ClientOptions = {
    /**
     * `https://host`, `wss://host/v1/responses`; several: of the same gateways, tried in
     * turn. In a page, its own origin if not given.
     */
    url?: string | string[];
    /**
     * The conversation: 1 to 128 characters. Made up if not given (`client.session`).
     */
    session?: string;
    /**
     * What to authenticate with, or who gives it.
     */
    token?: string | import("./token.js").TokenCallback;
    /**
     * The constructor; `globalThis.WebSocket` if not given.
     */
    WebSocket?: any;
    timings?: Partial<import("./timings.js").Timings>;
    /**
     * Characters of JSON that a stream holds for its reader; beyond, the server's log does.
     */
    queueChars?: number;
    clock?: import("./clock.js").Clock;
    /**
     * Heed `visibilitychange`, `online` and `offline`, where they are. Default true.
     */
    watchPage?: boolean;
};
export type CreateOptions = {
    /**
     * Aborting it stops the response.
     */
    signal?: AbortSignal;
    /**
     * The same id with the same body is the same response, also after a reload.
     */
    eventId?: string;
};
export type CreateBody = {
    model: string;
    input?: unknown;
    [member: string]: any;
};
import { ResponseStream } from "./response-stream.js";
export declare class Client {
    #private;
    /** The conversation that sockets attach to. */
    session: string;
    /** @param {ClientOptions} options */
    constructor({ url, session, token, WebSocket, timings, queueChars, clock, watchPage: watchesPage, }?: ClientOptions);
    /** How the connection is: `idle`, `connecting`, `open`, `waiting` (for the next attempt) or `closed`. */
    get state(): import("./connection.js").ConnectionState;
    /**
     * Be told of each change of `state`, with the close that led to it.
     *
     * @param {(state: import("./connection.js").ConnectionState, close: import("./connection.js").Close | null) => void} listener
     * @returns {() => void} Ends it.
     */
    onState(listener: (state: import("./connection.js").ConnectionState, close: import("./connection.js").Close | null) => void): () => void;
    /** Connect now, rather than with the first command. It stays connected until `close()`. */
    connect(): this;
    /** The device woke up, or the network changed: reconnect at once, or see whether anybody is there. */
    wake(): void;
    /**
     * Close the connection for good. It stops nothing: what is live goes on, and another client can retrieve it.
     */
    close(): void;
    /**
     * Start a response.
     *
     * @param {CreateBody} body
     * @param {CreateOptions} [options]
     * @returns {ResponseStream}
     */
    create(body: CreateBody, { signal, eventId }?: CreateOptions): ResponseStream;
    /**
     * Follow a response that exists: from its first event, or from what was seen of it on.
     *
     * One stream follows a response in a client: an earlier one of the same id is detached.
     *
     * @param {string} id
     * @param {{ startingAfter?: number, signal?: AbortSignal }} [options] Aborting the signal stops the response.
     * @returns {ResponseStream}
     */
    retrieve(id: string, { startingAfter, signal }?: {
        startingAfter?: number;
        signal?: AbortSignal;
    }): ResponseStream;
    /**
     * Follow whatever is live in the session, each from its first event: what a page does after a reload. A response that
     * this client follows already is given as it is.
     *
     * @returns {Promise<ResponseStream[]>}
     */
    resume(): Promise<ResponseStream[]>;
    /**
     * Stop a response by its id, or, without one, whatever is live in the session.
     *
     * @param {{ responseId?: string, reason?: string }} [options]
     * @returns {Promise<import("./response-stream.js").StopTimes[]>} Empty: nothing was left to stop.
     */
    stop({ responseId, reason }?: {
        responseId?: string;
        reason?: string;
    }): Promise<import("./response-stream.js").StopTimes[]>;
}
