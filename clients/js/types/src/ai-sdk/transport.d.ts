export type Stopped = {
    chatId: string;
    /**
     * Null: it had ended by itself.
     */
    times: import("../response-stream.js").StopTimes | null;
    /**
     * As it ended: `usage`, and `stop`.
     */
    response: import("../response-stream.js").Response;
};
export type SendOptions = {
    trigger: "submit-message" | "regenerate-message";
    chatId: string;
    messageId: string | undefined;
    messages: any[];
    abortSignal: AbortSignal | undefined;
    /**
     * Further members of the create body.
     */
    body?: object;
    metadata?: unknown;
    /**
     * A WebSocket has none of its own: not sent.
     */
    headers?: unknown;
};
export type ReconnectOptions = {
    chatId: string;
    abortSignal?: AbortSignal;
    body?: object;
    metadata?: unknown;
    headers?: unknown;
};
export type OwnOptions = {
    /**
     * What answers. Or give it with `create`, `prepare`, or the `body` of a message.
     */
    model?: string;
    /**
     * Further members of every create body: `instructions`, `tools`, `reasoning`, …
     */
    create?: object;
    /**
     * Makes the create body instead; `inputOf` helps.
     */
    prepare?: (options: SendOptions) => object | Promise<object>;
    /**
     * The session of a chat; its id, if not given.
     */
    session?: (chatId: string) => string;
    /**
     * The metadata of a message,
     * of the response as it begins and as it ends.
     */
    messageMetadata?: (response: import("../response-stream.js").Response) => unknown;
    /**
     * Told once a stop is settled: what it saved.
     */
    onStopped?: (stopped: Stopped) => void;
    /**
     * Told when a stop could not be asked for.
     */
    onStopFailed?: (error: unknown, chatId: string) => void;
    /**
     * How long a chat without a stream keeps its socket.
     */
    idleMs?: number;
};
export type TransportOptions = OwnOptions & Omit<import("../client.js").ClientOptions, "session">;
export declare class AndonChatTransport {
    #private;
    /** A resumed stream begins with the response's first event. */
    resumeStreamIsReplay: boolean;
    /** @param {TransportOptions} options */
    constructor({ model, create, prepare, session, messageMetadata, onStopped, onStopFailed, idleMs, ...clientOptions }?: TransportOptions);
    /**
     * @param {SendOptions} options
     * @returns {Promise<ReadableStream<any>>}
     */
    sendMessages(options: SendOptions): Promise<ReadableStream<any>>;
    /**
     * @param {ReconnectOptions} options
     * @returns {Promise<ReadableStream<any> | null>}
     */
    reconnectToStream({ chatId, abortSignal }: ReconnectOptions): Promise<ReadableStream<any> | null>;
    /**
     * Close all sockets, once the stops that were asked for are settled, or after a while. It stops nothing by itself.
     */
    close(): void;
}
