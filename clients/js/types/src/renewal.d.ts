export declare class Renewal {
    #private;
    /**
     * @param {object} options
     * @param {import("./token.js").Token} options.token
     * @param {import("./clock.js").Clock} options.clock
     * @param {(frame: object) => void} options.send
     */
    constructor({ token, clock, send }: {
        token: import("./token.js").Token;
        clock: import("./clock.js").Clock;
        send: (frame: object) => void;
    });
    /** The server took us in. */
    start(): void;
    /** The socket is gone. */
    stop(): void;
    /**
     * Take an event, if it answers a renewal.
     *
     * @param {any} event
     * @returns {boolean} False: it is somebody else's.
     */
    take(event: any): boolean;
}
