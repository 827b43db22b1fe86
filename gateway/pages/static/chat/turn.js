/**
 * Turn: one question and its answer, shown.
 *
 * Owns the elements of a turn and the words for how it ended. Does not own the response: it follows a stream, and reading
 * it is all that it does.
 */
import { Markdown } from "/assets/shared/markdown.js";

const NUMBER = new Intl.NumberFormat();

export class Turn {
  /** @type {string} */
  text = "";
  /** @type {any} The response as its terminal event has it; null while it is live, or if its ending is not known. */
  response = null;
  /** @type {import("/assets/client/index.js").ResponseStream | null} */
  stream = null;
  #asked = document.createElement("p");
  #answer = document.createElement("div");
  #outcome = document.createElement("p");
  #markdown = new Markdown(this.#answer);
  #frame = 0;
  #onShown;

  /**
   * @param {object} options
   * @param {string} [options.asked]
   * @param {() => void} [options.onShown] Told when more of the answer is in view.
   */
  constructor({ asked = "", onShown = () => {} } = {}) {
    this.element = document.createElement("article");
    this.element.className = "turn";
    this.#asked.className = "asked";
    this.#answer.className = "answer";
    this.#outcome.className = "outcome";
    this.#onShown = onShown;
    this.ask(asked);
    this.element.append(this.#asked, this.#answer, this.#outcome);
  }

  /** @param {string} text */
  ask(text) {
    this.asked = text;
    this.#asked.textContent = text;
    this.#asked.hidden = text === "";
    this.element.setAttribute("aria-label", text ? `Your message: ${text.slice(0, 80)}` : "An answer");
  }

  get isLive() {
    return this.stream !== null && !this.stream.isOver;
  }

  /**
   * Show an answer that was kept.
   *
   * @param {string} text
   * @param {any} response
   */
  recall(text, response) {
    this.text = text;
    this.#markdown.show(text);
    this.#end(response);
  }

  /**
   * Follow a response to its end, whatever that is. Never throws: what went wrong is what is shown.
   *
   * @param {import("/assets/client/index.js").ResponseStream} stream From its first event on.
   */
  async follow(stream) {
    this.stream = stream;
    this.text = "";
    this.element.setAttribute("aria-busy", "true");
    this.#say("Waiting for the model");
    try {
      for await (const event of stream) this.#take(event);
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
      this.element.dataset.status = "failed";
    } finally {
      this.element.setAttribute("aria-busy", "false");
      this.#show();
    }
  }

  /** Say that the stop was asked for. */
  stopping() {
    this.#say("Stopping");
  }

  /** @param {any} event */
  #take(event) {
    switch (event.type) {
      case "response.created":
        if (!this.asked) this.ask(event.response.metadata?.asked ?? "");
        return;
      case "response.content_part.added":
        if (this.text) this.#grow("\n\n");
        return;
      case "response.output_text.delta":
      case "response.refusal.delta":
        this.#grow(event.delta);
        return;
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        this.#end(event.response);
    }
  }

  /** @param {string} piece */
  #grow(piece) {
    this.text += piece;
    // Once a frame, however many pieces come: parsing is for eyes.
    this.#frame ||= requestAnimationFrame(() => {
      this.#show();
      if (this.isLive) this.#say(`Answering: ${NUMBER.format(this.text.length)} characters`);
    });
  }

  #show() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#markdown.show(this.text);
    this.#onShown();
  }

  /** @param {any} response */
  #end(response) {
    this.response = response;
    this.element.dataset.status = response.status;
    this.#say(outcomeOf(response));
  }

  /** @param {string} words */
  #say(words) {
    this.#outcome.textContent = words;
  }
}

/**
 * Say how a response ended, and what its stop saved.
 *
 * @param {any} response
 */
export function outcomeOf({ status, usage, stop, error, incomplete_details: details }) {
  const tokens = usage ? tokensOf(usage) : "";
  switch (status) {
    case "completed":
      return `Complete. ${tokens}`;
    case "cancelled":
      return `Stopped${byWhom(stop)}. ${tokens} ${closedAfter(stop)}`;
    case "failed":
      return `Failed (${error?.type ?? error?.code ?? "unknown"}): ${error?.message ?? ""} ${tokens}`;
    default:
      return `Ended early (${details?.reason ?? status}). ${tokens}`;
  }
}

/** @param {any} usage */
function tokensOf({ output_tokens: tokens, source }) {
  return `${NUMBER.format(tokens)} ${tokens === 1 ? "token" : "tokens"}${source === "estimated" ? " (estimated)" : ""}.`;
}

/** @param {any} stop */
function byWhom(stop) {
  if (!stop?.reason) return "";
  return stop.reason === "user" ? "" : ` (${stop.reason})`;
}

/** @param {any} stop */
function closedAfter(stop) {
  if (!stop?.upstream_closed_at) return "The model had not been asked.";
  const ms = Math.max(0, (stop.upstream_closed_at - stop.requested_at) * 1000);
  return `The model's connection was closed ${ms.toFixed(1)} ms after the stop; it computes and bills no more.`;
}
