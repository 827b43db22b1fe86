export declare class Heartbeat {
    #private;
    /**
     * @param {object} options
     * @param {import("./clock.js").Clock} options.clock
     * @param {number} options.intervalMs
     * @param {number} options.timeoutMs
     * @param {() => void} options.ping Sends one.
     * @param {() => void} options.dead Told once, then it has stopped.
     */
    constructor({ clock, intervalMs, timeoutMs, ping, dead }: {
        clock: import("./clock.js").Clock;
        intervalMs: number;
        timeoutMs: number;
        ping: () => void;
        dead: () => void;
    });
    /** Begin, with a first ping: its answer shows that the server took us in. */
    start(): void;
    /** Something came. Cheap: it is called for every frame, and sets no timer. */
    heard(): void;
    /** Ask at once: something tells that the network may have changed. */
    probe(): void;
    stop(): void;
}
