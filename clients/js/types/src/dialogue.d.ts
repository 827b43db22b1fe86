import { Streams } from "./streams.js";
export declare class Dialogue {
    #private;
    /** The responses that are followed. */
    streams: Streams;
    /**
     * @param {import("./connection.js").ConnectionOptions} options
     * @param {import("./connection.js").Listener["onState"]} onState
     */
    constructor(options: import("./connection.js").ConnectionOptions, onState: import("./connection.js").Listener["onState"]);
    get state(): import("./connection.js").ConnectionState;
    /** Begin, if it has not begun. */
    start(): void;
    wake(): void;
    /** End it for good, from this side. */
    close(): void;
    /** Throw why there is no going on, if there is none. */
    check(): void;
    /**
     * Say a command until it is answered or refused.
     *
     * @param {import("./ledger.js").Command} command
     */
    say(command: import("./ledger.js").Command): void;
    /**
     * Drop a create that was never sent: nothing is there to be stopped.
     *
     * @param {import("./response-stream.js").ResponseStream} stream
     * @returns {boolean} False: it was sent, and may have taken effect.
     */
    takeBack(stream: import("./response-stream.js").ResponseStream): boolean;
    /**
     * A stream was left by its reader. Only a socket that goes away is a detach to the server, so we leave this one, and
     * come back for the rest.
     *
     * @param {import("./response-stream.js").ResponseStream} stream
     */
    leave(stream: import("./response-stream.js").ResponseStream): void;
}
