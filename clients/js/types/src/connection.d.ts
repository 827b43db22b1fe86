export type ConnectionState = "idle" | "connecting" | "open" | "waiting" | "closed";
export type Close = {
    code: number;
    reason: string;
};
export type ConnectionOptions = {
    /**
     * Endpoints, query included; the next one is tried where one is left.
     */
    addresses: string[];
    /**
     * The constructor.
     */
    WebSocket: any;
    token: string | import("./token.js").TokenCallback | undefined;
    timings: import("./timings.js").Timings;
    clock: import("./clock.js").Clock;
    /**
     * Heed what a browser tells of its page and its network.
     */
    watchesPage: boolean;
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
     * @param {ConnectionOptions} options
     * @param {Listener} listener
     */
    constructor({ addresses, WebSocket, token, timings, clock, watchesPage }: ConnectionOptions, listener: Listener);
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
    /** Leave the present socket for another: what followed it is followed no more, as far as the server knows. */
    renew(): void;
    /** Close it for good. */
    close(): void;
}
