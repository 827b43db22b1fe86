export declare class Streams {
    #private;
    /** @param {(frame: object) => boolean} send False: no socket is open. */
    constructor(send: (frame: object) => boolean);
    /** @param {string} id */
    find(id: string): import("./response-stream.js").ResponseStream | undefined;
    /**
     * @param {string} id
     * @param {import("./response-stream.js").ResponseStream} stream
     */
    add(id: string, stream: import("./response-stream.js").ResponseStream): void;
    /**
     * Await a response that is being created in a lane.
     *
     * @param {string} lane
     * @param {import("./response-stream.js").ResponseStream} stream
     */
    await(lane: string, stream: import("./response-stream.js").ResponseStream): void;
    /** @param {import("./response-stream.js").ResponseStream} stream */
    laneOf(stream: import("./response-stream.js").ResponseStream): string | undefined;
    /** @param {string} lane */
    forgetLane(lane: string): void;
    /** @param {import("./response-stream.js").ResponseStream} stream */
    forget(stream: import("./response-stream.js").ResponseStream): void;
    /**
     * Ask for what comes after its last number; where no socket is open, the next begins with it.
     *
     * @param {import("./response-stream.js").ResponseStream} stream
     */
    follow(stream: import("./response-stream.js").ResponseStream): void;
    /** A new socket is open: ask for all. */
    opened(): void;
    /** Ask once more for those that could not be followed. */
    again(): void;
    /** @param {import("./connection.js").Close} close */
    lost({ code, reason }: import("./connection.js").Close): void;
    /**
     * An event of a response.
     *
     * @param {import("./response-stream.js").ResponseEvent} event
     * @param {number} size
     * @returns {string | undefined} The lane whose create it answers, if it does.
     */
    take(event: import("./response-stream.js").ResponseEvent, size: number): string | undefined;
    /**
     * An `error` event.
     *
     * @param {any} event
     * @returns {0 | 1 | undefined} 1: the retrieve was put off, call `again` after a while. 0: it was answered. Undefined:
     *   it is of no retrieve.
     */
    refused(event: any): 0 | 1 | undefined;
    /**
     * Nothing is followed any more.
     *
     * @param {Error | null} error Null: it was left.
     */
    end(error: Error | null): void;
}
