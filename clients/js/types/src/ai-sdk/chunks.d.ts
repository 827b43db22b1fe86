/**
 * Chunks: the events of one response, as the AI SDK's UI message chunks.
 *
 * A fold: an event in, chunks out; no I/O. Guarantees: every part that was started is ended, also when the response was
 * stopped in its middle. A response that somebody stopped ends with `abort` and finish reason `interrupted`, so that no
 * automatic follow-up is sent; one that failed, with `error`. Of tools that the provider runs itself nothing is told.
 *
 * @typedef {{ type: string, [member: string]: any }} Chunk
 * @typedef {import("../response-stream.js").ResponseEvent} ResponseEvent
 * @typedef {import("../response-stream.js").Response} Response
 */
export type Chunk = {
    type: string;
    [member: string]: any;
};
export type ResponseEvent = import("../response-stream.js").ResponseEvent;
export type Response = import("../response-stream.js").Response;
export declare class ChunkFold {
    #private;
    /** @param {((response: Response) => unknown) | undefined} metadataOf */
    constructor(metadataOf: ((response: Response) => unknown) | undefined);
    /**
     * @param {ResponseEvent} event
     * @returns {Chunk[]}
     */
    chunksOf(event: ResponseEvent): Chunk[];
}
