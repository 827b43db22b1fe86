/**
 * Clock: time and chance, as the client sees them.
 *
 * Owns the one place where real timers are asked for, so that a test puts its own in their stead and never sleeps.
 *
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds that only grow; their zero means nothing.
 * @property {() => number} wallMs Milliseconds since 1970: only for the expiry of tokens.
 * @property {() => number} random A number from 0 to 1, for jitter.
 * @property {(run: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
export type Clock = {
    /**
     * Milliseconds that only grow; their zero means nothing.
     */
    now: () => number;
    /**
     * Milliseconds since 1970: only for the expiry of tokens.
     */
    wallMs: () => number;
    /**
     * A number from 0 to 1, for jitter.
     */
    random: () => number;
    setTimeout: (run: () => void, ms: number) => unknown;
    clearTimeout: (timer: any) => void;
};
/** @type {Clock} */
export declare const systemClock: Clock;
/**
 * One timer: set again it forgets what it was set to before.
 */
export declare class Timer {
    #private;
    /** @param {Clock} clock */
    constructor(clock: Clock);
    get isSet(): boolean;
    /**
     * @param {number} ms
     * @param {() => void} run
     */
    set(ms: number, run: () => void): void;
    clear(): void;
}
