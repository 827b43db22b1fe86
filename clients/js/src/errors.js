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
export class AndonError extends Error {
  /**
   * @param {string} message
   * @param {{ cause?: unknown }} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/**
 * What the server says in an `error` event.
 *
 * @typedef {{ code?: string | null, message?: string, param?: string | null, type?: string }} ErrorBody
 */

/** The server refused, and says what to mend. */
export class RequestError extends AndonError {
  /**
   * @param {ErrorBody} error
   * @param {number} [status] The HTTP number.
   */
  constructor(error, status = 400) {
    super(error.message ?? error.code ?? "The server refused the request.");
    this.code = error.code ?? null;
    this.param = error.param ?? null;
    this.type = error.type ?? null;
    this.status = status;
  }
}

/** No such response for this caller: unknown, expired and foreign look alike on purpose. */
export class NotFoundError extends RequestError {}

/** A bound was reached, here or there. */
export class OverloadedError extends RequestError {}

/** The server takes no token that we can give it. */
export class UnauthorizedError extends AndonError {}

/** The token may not do this. */
export class ForbiddenError extends AndonError {}

/** The server's store lost the response itself: no ending will come. */
export class JobLostError extends AndonError {}

/** This client left the response, which goes on: `retrieve` it, starting after `lastSequenceNumber`. */
export class DetachedError extends AndonError {
  /**
   * @param {string | null} responseId
   * @param {number} lastSequenceNumber
   */
  constructor(responseId, lastSequenceNumber) {
    super("This client has left the response, which goes on: it can be retrieved.");
    this.responseId = responseId;
    this.lastSequenceNumber = lastSequenceNumber;
  }
}

/**
 * Make the error that an `error` event stands for.
 *
 * @param {{ status?: number, error?: ErrorBody }} event
 * @returns {RequestError}
 */
export function errorOf(event) {
  const { status = 400, error = {} } = event;
  if (status === 404) return new NotFoundError(error, status);
  if (status === 429 || status === 503) return new OverloadedError(error, status);
  return new RequestError(error, status);
}

/**
 * Whether an `error` event says: not now. The same may be said again after a while.
 *
 * @param {{ status?: number }} event
 */
export function isForLater({ status }) {
  return status === 503;
}

/**
 * Return what an aborted signal throws.
 *
 * @param {AbortSignal | undefined} signal
 * @returns {unknown}
 */
export function abortReason(signal) {
  if (signal?.reason !== undefined) return signal.reason;
  // React Native's signals have no reason.
  return Object.assign(new Error("This was aborted."), { name: "AbortError" });
}
