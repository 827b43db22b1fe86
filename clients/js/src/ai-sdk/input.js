/**
 * Input: the messages of the AI SDK, as input items of the Responses API.
 *
 * The whole conversation goes along each time, as the user sees it: what a stop left of an answer is part of it. Tool calls
 * without a result are left out, for a model server refuses a call without its output; so is reasoning, which only the
 * server that wrote it can read.
 *
 * @typedef {{ type: string, [member: string]: any }} Part
 * @typedef {{ id: string, role: "system" | "user" | "assistant", parts: Part[], metadata?: any }} Message
 */

/**
 * @param {readonly Message[]} messages
 * @returns {object[]}
 */
export function inputOf(messages) {
  return messages.flatMap((message) => (message.role === "assistant" ? assistantItems(message.parts) : askedItem(message)));
}

/**
 * @param {Message} message
 * @returns {object[]}
 */
function askedItem({ role, parts }) {
  return [{ role, content: parts.flatMap((part) => contentOf(part)) }];
}

/**
 * @param {Part} part
 * @returns {object[]}
 */
function contentOf(part) {
  if (part.type === "text") return [{ type: "input_text", text: part["text"] }];
  if (part.type !== "file") return []; // data parts and the like are the page's own
  const url = /** @type {string} */ (part["url"]);
  if (part["mediaType"]?.startsWith("image/")) return [{ type: "input_image", image_url: url, detail: "auto" }];
  const where = url.startsWith("data:") ? { file_data: url } : { file_url: url };
  return [{ type: "input_file", ...(part["filename"] ? { filename: part["filename"] } : {}), ...where }];
}

/**
 * @param {Part[]} parts
 * @returns {object[]}
 */
function assistantItems(parts) {
  /** @type {{ role?: string, content?: string, [member: string]: any }[]} */
  const items = [];
  for (const part of parts) {
    const last = items.at(-1);
    if (part.type === "text") {
      if (last?.role === "assistant") last.content += part["text"];
      else if (part["text"] !== "") items.push({ role: "assistant", content: part["text"] });
    } else if (part.type === "dynamic-tool" || part.type.startsWith("tool-")) {
      items.push(...toolItems(part));
    }
  }
  return items;
}

/** @param {Part} part */
function toolItems(part) {
  const { toolCallId: call_id, state, output, errorText, input } = part;
  if (part["providerExecuted"] || (state !== "output-available" && state !== "output-error")) return [];
  const result = state === "output-error" ? errorText : output;
  return [
    { type: "function_call", call_id, name: part["toolName"] ?? part.type.slice("tool-".length), arguments: JSON.stringify(input ?? {}) },
    { type: "function_call_output", call_id, output: typeof result === "string" ? result : JSON.stringify(result ?? null) },
  ];
}
