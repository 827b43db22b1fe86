export type StopTimes = {
    response_id: string;
    recorded: number | null;
    replicated: number | boolean | null;
    acked: number | null;
    upstream_closed: number | null;
    settled: number | null;
};
export type ResponseEvent = {
    type: string;
    sequence_number: number;
    response_id: string;
    [member: string]: any;
};
export type Response = {
    id: string;
    status: string;
    output: any[];
    usage: any;
    stop?: any;
    error?: any;
    [member: string]: any;
};
export type Owner = {
    stop: (stream: ResponseStream, reason: string | undefined) => Promise<StopTimes | null>;
    /**
     * Ask for what comes after `lastSequenceNumber`.
     */
    follow: (stream: ResponseStream) => void;
    leave: (stream: ResponseStream) => void;
};
/** @implements {AsyncIterableIterator<ResponseEvent>} */
export declare class ResponseStream implements AsyncIterableIterator<ResponseEvent> {
    #private;
    /**
     * The response's id; null until the server has made one up (`created` waits for it).
     *
     * @type {string | null}
     */
    id: string | null;
    /** @type {Promise<string>} Resolves to the id. */
    created: Promise<string>;
    /** @type {Promise<Response>} Resolves to the response as its terminal event has it, whether anybody iterates or not. */
    done: Promise<Response>;
    /** The number check waits for its next event: what is ahead of it is of an earlier request, not a gap. */
    isAwaited: boolean;
    /** Somebody reads it, and would miss what another reader takes. */
    isRead: boolean;
    /**
     * @param {object} options
     * @param {Owner} options.owner
     * @param {string | null} options.id
     * @param {number} options.startingAfter
     * @param {number} options.queueChars
     * @param {AbortSignal | undefined} options.signal
     */
    constructor({ owner, id, startingAfter, queueChars, signal }: {
        owner: Owner;
        id: string | null;
        startingAfter: number;
        queueChars: number;
        signal: AbortSignal | undefined;
    });
    /** Whether it has ended, failed, or was left. */
    get isOver(): boolean;
    /** The number of the last event that was taken; -1: none. */
    get lastSequenceNumber(): number;
    [Symbol.asyncIterator](): this;
    /** @returns {Promise<IteratorResult<ResponseEvent>>} */
    next(): Promise<IteratorResult<ResponseEvent>>;
    /**
     * What `break` calls: nobody reads it any more.
     *
     * @returns {Promise<IteratorResult<ResponseEvent>>}
     */
    return(): Promise<IteratorResult<ResponseEvent>>;
    /** Iterate over the pieces of output text alone. */
    text(): AsyncGenerator<string, void, unknown>;
    /**
     * Stop the response: the model is told to cease, at once. The events go on to the terminal one, which tells what the
     * stop saved.
     *
     * @param {{ reason?: string }} [options]
     * @returns {Promise<StopTimes | null>} How far the stop got, once it is settled, or after 2 s; null if nothing was left
     *   to stop. Over a lost connection it is asked for again until it is answered.
     */
    stop({ reason }?: {
        reason?: string;
    }): Promise<StopTimes | null>;
    /** Leave it: it goes on, and can be retrieved. Iterations throw DetachedError. */
    detach(): void;
    /**
     * Take an event of it.
     *
     * @param {ResponseEvent} event
     * @param {number} size
     */
    take(event: ResponseEvent, size: number): void;
    /**
     * It cannot go on.
     *
     * @param {unknown} error
     */
    fail(error: unknown): void;
    /** It was to be stopped before it was sent: it fails as an aborted `fetch` does. */
    abandon(): void;
    /** It is followed no more. */
    leave(): void;
}
/**
 * Tell whether a signal is aborted already, by throwing what it throws.
 *
 * @param {AbortSignal | undefined} signal
 */
export declare function throwIfAborted(signal: AbortSignal | undefined): void;
