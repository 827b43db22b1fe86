export declare class Recovery {
    #private;
    /**
     * @param {object} options
     * @param {import("./token.js").Token} options.token
     * @param {import("./timings.js").Timings} options.timings
     * @param {import("./clock.js").Clock} options.clock
     */
    constructor({ token, timings, clock }: {
        token: import("./token.js").Token;
        timings: import("./timings.js").Timings;
        clock: import("./clock.js").Clock;
    });
    /** Another socket is there: what was complained of on the last one explains nothing of it. */
    opening(): void;
    /**
     * The server told of an error.
     *
     * @param {any} event
     */
    complained(event: any): void;
    /** The server took us in. */
    welcomed(): void;
    /**
     * Decide what is to be done.
     *
     * @param {import("./connection.js").Close} close
     * @param {boolean} wasWell The server had answered on this socket.
     * @returns {number | Error} Milliseconds until the next attempt; or why there is to be none.
     */
    after(close: import("./connection.js").Close, wasWell: boolean): number | Error;
}
