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
export {
  AndonError,
  DetachedError,
  ForbiddenError,
  JobLostError,
  NotFoundError,
  OverloadedError,
  RequestError,
  UnauthorizedError,
} from "./src/errors.js";
