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

/** @type {Record<string, string>} */
const FINISH_REASONS = { max_output_tokens: "length", content_filter: "content-filter" };

export class ChunkFold {
  #metadataOf;
  // Parts that were started and not ended: id to kind.
  /** @type {Map<string, "text" | "reasoning">} */
  #open = new Map();
  // Item id of a function call to what names it.
  /** @type {Map<string, { toolCallId: string, toolName: string }>} */
  #calls = new Map();

  /** @param {((response: Response) => unknown) | undefined} metadataOf */
  constructor(metadataOf) {
    this.#metadataOf = metadataOf;
  }

  /**
   * @param {ResponseEvent} event
   * @returns {Chunk[]}
   */
  chunksOf(event) {
    const { item_id: item, content_index: content, summary_index: summary, delta } = event;
    switch (event.type) {
      case "response.created":
        // The message is named for its response: a replay after a reload is then the same message.
        return [{ type: "start", messageId: event.response_id, ...this.#metadata(event["response"]) }, { type: "start-step" }];
      case "response.output_text.delta":
      case "response.refusal.delta":
        return this.#grow("text", `${item}:${content}`, delta);
      case "response.output_text.done":
      case "response.refusal.done":
        return this.#close(`${item}:${content}`);
      case "response.reasoning_text.delta":
        return this.#grow("reasoning", `${item}:${content}`, delta);
      case "response.reasoning_text.done":
        return this.#close(`${item}:${content}`);
      case "response.reasoning_summary_text.delta":
        return this.#grow("reasoning", `${item}:s${summary}`, delta);
      case "response.reasoning_summary_text.done":
        return this.#close(`${item}:s${summary}`);
      case "response.output_text.annotation.added":
        return sourceOf(event["annotation"], event.sequence_number);
      case "response.output_item.added":
        return this.#callBegun(event["item"]);
      case "response.function_call_arguments.delta":
        return this.#callGrew(item, delta);
      case "response.output_item.done":
        return this.#callDone(event["item"]);
      case "response.completed":
      case "response.incomplete":
        return this.#ended(event["response"]);
      case "response.failed":
        return [...this.#closeAll(), { type: "error", errorText: event["response"].error?.message ?? "The response failed." }];
      default:
        return [];
    }
  }

  /**
   * @param {"text" | "reasoning"} kind
   * @param {string} id
   * @param {string} delta
   */
  #grow(kind, id, delta) {
    const begun = this.#open.has(id) ? [] : [{ type: `${kind}-start`, id }];
    this.#open.set(id, kind);
    return [...begun, { type: `${kind}-delta`, id, delta }];
  }

  /** @param {string} id */
  #close(id) {
    const kind = this.#open.get(id);
    return this.#open.delete(id) ? [{ type: `${kind}-end`, id }] : [];
  }

  #closeAll() {
    return [...this.#open.keys()].flatMap((id) => this.#close(id));
  }

  /** @param {any} item */
  #callBegun(item) {
    if (item.type !== "function_call") return [];
    const call = { toolCallId: item.call_id, toolName: item.name };
    this.#calls.set(item.id, call);
    return [{ type: "tool-input-start", ...call }];
  }

  /**
   * @param {string} item
   * @param {string} delta
   */
  #callGrew(item, delta) {
    const call = this.#calls.get(item);
    return call ? [{ type: "tool-input-delta", toolCallId: call.toolCallId, inputTextDelta: delta }] : [];
  }

  /** @param {any} item */
  #callDone(item) {
    const call = item.type === "function_call" ? this.#calls.get(item.id) : undefined;
    if (call === undefined) return [];
    try {
      return [{ type: "tool-input-available", ...call, input: JSON.parse(item.arguments || "{}") }];
    } catch (error) {
      const errorText = `The model's arguments are no JSON: ${/** @type {Error} */ (error).message}`;
      return [{ type: "tool-input-error", ...call, input: item.arguments, errorText }];
    }
  }

  /** @param {Response} response */
  #ended(response) {
    const isStopped = response.status === "cancelled";
    const finish = { type: "finish", finishReason: this.#finishReason(response), ...this.#metadata(response) };
    const abort = isStopped ? [{ type: "abort", reason: response.stop?.reason ?? "stopped" }] : [];
    return [...this.#closeAll(), { type: "finish-step" }, ...abort, finish];
  }

  /** @param {Response} response */
  #finishReason({ status, incomplete_details }) {
    if (status === "cancelled") return "interrupted";
    if (status === "incomplete") return FINISH_REASONS[incomplete_details?.reason] ?? "other";
    return this.#calls.size ? "tool-calls" : "stop";
  }

  /** @param {Response} response */
  #metadata(response) {
    const messageMetadata = this.#metadataOf?.(response);
    return messageMetadata === undefined ? {} : { messageMetadata };
  }
}

/**
 * @param {any} annotation
 * @param {number} number
 * @returns {Chunk[]}
 */
function sourceOf(annotation, number) {
  if (annotation?.type !== "url_citation") return [];
  return [{ type: "source-url", sourceId: `source-${number}`, url: annotation.url, title: annotation.title }];
}
