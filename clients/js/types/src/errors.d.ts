/**
 * Errors: one root, a branch for each thing the caller can do.
 *
 *     AndonError
 *     ├── RequestError          mend the request: `code` and `param` name the fault, the message the remedy
 *     │   ├── NotFoundError     no such response for this caller, or its log expired
 *     │   └── OverloadedError   a bound was reached: the same request may succeed later
 *     ├── UnauthorizedError     no token that the server takes: sign in
 *     ├── ForbiddenError        give up: the token may not do this
 *     ├── JobLostError          create it anew: the server's store lost the response
 *     └── DetachedError         this client left it (`close`, `detach`); the response goes on and can be retrieved
 *
 * A create that was aborted before it was sent rejects with the signal's reason, as `fetch` does.
 */
/** Root of all errors that this client raises on purpose. */
export declare class AndonError extends Error {
    /**
     * @param {string} message
     * @param {{ cause?: unknown }} [options]
     */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
export type ErrorBody = {
    code?: string | null;
    message?: string;
    param?: string | null;
    type?: string;
};
/**
 * What the server says in an `error` event.
 *
 * @typedef {{ code?: string | null, message?: string, param?: string | null, type?: string }} ErrorBody
 */
/** The server refused, and says what to mend. */
export declare class RequestError extends AndonError {
    code: string | null;
    param: string | null;
    type: string | null;
    status: number;
    /**
     * @param {ErrorBody} error
     * @param {number} [status] The HTTP number.
     */
    constructor(error: ErrorBody, status?: number);
}
/** No such response for this caller: unknown, expired and foreign look alike on purpose. */
export declare class NotFoundError extends RequestError {
}
/** A bound was reached, here or there. */
export declare class OverloadedError extends RequestError {
}
/** The server takes no token that we can give it. */
export declare class UnauthorizedError extends AndonError {
}
/** The token may not do this. */
export declare class ForbiddenError extends AndonError {
}
/** The server's store lost the response itself: no ending will come. */
export declare class JobLostError extends AndonError {
}
/** This client left the response, which goes on: `retrieve` it, starting after `lastSequenceNumber`. */
export declare class DetachedError extends AndonError {
    responseId: string | null;
    lastSequenceNumber: number;
    /**
     * @param {string | null} responseId
     * @param {number} lastSequenceNumber
     */
    constructor(responseId: string | null, lastSequenceNumber: number);
}
/**
 * Make the error that an `error` event stands for.
 *
 * @param {{ status?: number, error?: ErrorBody }} event
 * @returns {RequestError}
 */
export declare function errorOf(event: {
    status?: number;
    error?: ErrorBody;
}): RequestError;
/**
 * Whether an `error` event says: not now. The same may be said again after a while.
 *
 * @param {{ status?: number }} event
 */
export declare function isForLater({ status }: {
    status?: number;
}): boolean;
/**
 * Return what an aborted signal throws.
 *
 * @param {AbortSignal | undefined} signal
 * @returns {unknown}
 */
export declare function abortReason(signal: AbortSignal | undefined): unknown;
