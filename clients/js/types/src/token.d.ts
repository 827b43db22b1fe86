export type TokenReason = "connect" | "refused" | "expiring";
export type TokenAnswer = string | {
    token: string;
    expiresAt?: number;
};
export type TokenCallback = (asked: {
    reason: TokenReason;
}) => TokenAnswer | Promise<TokenAnswer>;
export declare class Token {
    #private;
    /**
     * @param {string | TokenCallback | undefined} source
     * @param {import("./clock.js").Clock} clock
     */
    constructor(source: string | TokenCallback | undefined, clock: import("./clock.js").Clock);
    /** Whether another one can be had. */
    get canRenew(): boolean;
    /** Milliseconds until it should be renewed; null: unknown, or it cannot be. */
    get renewInMs(): number | null;
    /** The server did not take it. */
    refuse(): void;
    /**
     * Return the token to connect with; null where none is wanted. Rejects with what the callback throws.
     *
     * @returns {Promise<string | null>}
     */
    forConnect(): Promise<string | null>;
    /**
     * Return another token for a socket that stays open.
     *
     * @returns {Promise<string>}
     */
    forRefresh(): Promise<string>;
    /**
     * The server told until when it takes us.
     *
     * @param {unknown} expiresAt Unix seconds.
     */
    accepted(expiresAt: unknown): void;
}
