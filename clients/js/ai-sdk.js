/**
 * Andon under the AI SDK: a transport for `useChat`. See README.md.
 *
 * @typedef {import("./src/ai-sdk/transport.js").TransportOptions} TransportOptions
 * @typedef {import("./src/ai-sdk/transport.js").Stopped} Stopped
 * @typedef {import("./src/ai-sdk/chunks.js").Chunk} Chunk
 * @typedef {import("./src/ai-sdk/input.js").Message} Message
 */
export { AndonChatTransport } from "./src/ai-sdk/transport.js";
export { inputOf } from "./src/ai-sdk/input.js";
