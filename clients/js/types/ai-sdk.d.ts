export type TransportOptions = import("./src/ai-sdk/transport.js").TransportOptions;
export type Stopped = import("./src/ai-sdk/transport.js").Stopped;
export type Chunk = import("./src/ai-sdk/chunks.js").Chunk;
export type Message = import("./src/ai-sdk/input.js").Message;
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
