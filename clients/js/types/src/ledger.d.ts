export type Command = {
    frame: {
        type: string;
        event_id: string;
        [member: string]: any;
    };
    onAnswer: (event: any) => void;
    onRefused: (error: unknown) => void;
    /**
     * On any socket: from then on it may have taken effect.
     */
    wasSent?: boolean;
    /**
     * How often the server said: later.
     */
    refusals?: number;
};
export declare class Ledger {
    #private;
    /** @param {(frame: object) => boolean} send False: no socket is open. */
    constructor(send: (frame: object) => boolean);
    /**
     * Say a command, now or on the next socket, until it is answered.
     *
     * @param {Command} command
     */
    add(command: Command): void;
    /** A new socket is open: say all, in the order in which they were asked for. */
    opened(): void;
    /** Say again what the server could not obey. */
    again(): void;
    /** @param {import("./connection.js").Close} close */
    lost({ code }: import("./connection.js").Close): void;
    /**
     * An event of no response: one of them is answered, as a rule.
     *
     * @param {any} event
     */
    take(event: any): void;
    /**
     * An `error` event.
     *
     * @param {any} event
     * @returns {number} How often the command was put off: call `again` after a while. 0: it was not.
     */
    refused(event: any): number;
    /**
     * Whether the create of this lane waits to be sent for the first time.
     *
     * @param {string} lane
     */
    isUnsent(lane: string): boolean;
    /**
     * The create of this lane is answered by its events, or of no interest any more.
     *
     * @param {string} lane
     */
    settle(lane: string): void;
    /**
     * Nothing is said any more.
     *
     * @param {Error} error
     */
    end(error: Error): void;
}
