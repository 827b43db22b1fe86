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
    /** @param {Command} command */
    add(command: Command): void;
    /** @param {string | undefined} eventId */
    find(eventId: string | undefined): Command | undefined;
    /** @param {string} eventId */
    remove(eventId: string): boolean;
    /** All, in the order in which they were asked for. */
    all(): Command[];
    /** The one with the largest frame among those that were sent: what a server means that finds a frame too big. */
    largestSent(): Command | null;
}
