export declare class Line {
    #private;
    client: import("../client.js").Client;
    resumes: number;
    /**
     * @param {object} options
     * @param {import("../client.js").Client} options.client
     * @param {import("../clock.js").Clock} options.clock
     * @param {number} options.idleMs
     * @param {() => void} options.onClosed
     */
    constructor({ client, clock, idleMs, onClosed }: {
        client: import("../client.js").Client;
        clock: import("../clock.js").Clock;
        idleMs: number;
        onClosed: () => void;
    });
    /**
     * Use it.
     *
     * @returns {() => void} Use it no more; harmless when repeated.
     */
    hold(): () => void;
    /** Nobody follows anything here any more, and the server is to know: only a socket that goes away is a detach. */
    closeIfUnused(): void;
    close(): void;
}
