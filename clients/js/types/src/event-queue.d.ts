export type Result = {
    done: boolean;
    value: any;
};
/**
 * Event queue: what came of one response and was not read yet.
 *
 * Bounded. Policy when full: it takes no more, and says so once it has drained to half; whatever came meanwhile is in the
 * server's log, by number, and is asked for again then. So a reader that is slow costs memory no further than the bound,
 * and loses nothing as long as the log lasts.
 *
 * @typedef {{ done: boolean, value: any }} Result
 */
export declare class EventQueue {
    #private;
    /** Something did not fit since it last drained. */
    isBehind: boolean;
    /**
     * @param {number} bound Characters of JSON.
     * @param {() => void} onDrained
     */
    constructor(bound: number, onDrained: () => void);
    /** Whether another event is taken. One always is: an event may be larger than the bound. */
    get hasRoom(): boolean;
    /**
     * @param {any} event
     * @param {number} size
     */
    put(event: any, size: number): void;
    /**
     * Nothing more comes. The first ending stays.
     *
     * @param {unknown} [error] What a reader gets after the last event; without one the iteration ends.
     */
    end(error?: unknown): void;
    /** Forget what is queued: nobody will read it. */
    drop(): void;
    /** @returns {Promise<Result>} */
    next(): Promise<Result>;
}
