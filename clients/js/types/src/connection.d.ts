export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";
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
export type Close = {
    code: number;
    reason: string;
};
export type Listener = {
    /**
     * A new socket takes frames; nothing said on an earlier one need have arrived.
     */
    onOpen: () => void;
    /**
     * One parsed frame and its length.
     */
    onEvent: (event: any, size: number) => void;
    /**
     * The socket is gone; another follows by itself.
     */
    onLost: (close: Close) => void;
    /**
     * No other follows.
     */
    onGaveUp: (error: Error) => void;
    onState: (state: ConnectionState, close: Close | null) => void;
};
export declare class Connection {
    #private;
    /** @type {ConnectionState} */
    state: ConnectionState;
    /**
     * @param {object} options
     * @param {string[]} options.addresses Endpoints, query included; the next one is tried where one is left.
     * @param {any} options.WebSocket The constructor.
     * @param {string | import("./token.js").TokenCallback | undefined} options.token
     * @param {Timings} options.timings
     * @param {import("./clock.js").Clock} options.clock
     * @param {Listener} options.listener
     */
    constructor({ addresses, WebSocket, token, timings, clock, listener }: {
        addresses: string[];
        WebSocket: any;
        token: string | import("./token.js").TokenCallback | undefined;
        timings: Timings;
        clock: import("./clock.js").Clock;
        listener: Listener;
    });
    /** Whether frames can be sent. */
    get isOpen(): boolean;
    /** Begin, if it has not begun. */
    start(): void;
    /**
     * Send a frame; false, and nothing is sent, where no socket is open: `onOpen` tells when one is.
     *
     * @param {object} frame
     */
    send(frame: object): boolean;
    /** The network may be back, or gone: connect at once, or ask at once whether anybody is there. */
    wake(): void;
    /** The network is said to be gone: see whether it is. */
    doubt(): void;
    /** Leave the present socket for another: what followed it is followed no more, as far as the server knows. */
    renew(): void;
    /** Close it for good. */
    close(): void;
}
