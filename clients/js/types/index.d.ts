export type ClientOptions = import("./src/client.js").ClientOptions;
export type CreateBody = import("./src/client.js").CreateBody;
export type CreateOptions = import("./src/client.js").CreateOptions;
export type Close = import("./src/connection.js").Close;
export type ConnectionState = import("./src/connection.js").ConnectionState;
export type Timings = import("./src/timings.js").Timings;
export type Response = import("./src/response-stream.js").Response;
export type ResponseEvent = import("./src/response-stream.js").ResponseEvent;
export type StopTimes = import("./src/response-stream.js").StopTimes;
export type TokenCallback = import("./src/token.js").TokenCallback;
/**
 * Andon's client: models that stream, and that stop. See README.md.
 *
 * @typedef {import("./src/client.js").ClientOptions} ClientOptions
 * @typedef {import("./src/client.js").CreateBody} CreateBody
 * @typedef {import("./src/client.js").CreateOptions} CreateOptions
 * @typedef {import("./src/connection.js").Close} Close
 * @typedef {import("./src/connection.js").ConnectionState} ConnectionState
 * @typedef {import("./src/timings.js").Timings} Timings
 * @typedef {import("./src/response-stream.js").Response} Response
 * @typedef {import("./src/response-stream.js").ResponseEvent} ResponseEvent
 * @typedef {import("./src/response-stream.js").StopTimes} StopTimes
 * @typedef {import("./src/token.js").TokenCallback} TokenCallback
 */
export { Client } from "./src/client.js";
export { ResponseStream } from "./src/response-stream.js";
export { AndonError, DetachedError, ForbiddenError, JobLostError, NotFoundError, OverloadedError, RequestError, UnauthorizedError, } from "./src/errors.js";
