/**
 * Markdown: an answer's text as it grows, shown.
 *
 * Owns the parsing (marked) and the cleaning (DOMPurify) of what a model says: no HTML of its own, no image, no link that
 * runs. Guarantees: only the blocks that changed are shown anew, so that a long answer costs no more a piece
 * than a short one, and what was selected in an earlier block stays selected.
 */
import DOMPurify from "/assets/vendor/purify.js";
import { marked } from "/assets/vendor/marked.js";

// A model's own HTML is shown as it wrote it: text.
marked.use({ renderer: { html: ({ text }) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;") } });
// An image would tell another server that this answer was read, and what it said.
const CLEAN = { FORBID_TAGS: ["img", "style", "form", "input", "video", "audio", "source"], FORBID_ATTR: ["style", "id", "name"] };

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
});

export class Markdown {
  #element;
  /** @type {string[]} The source of each block that is shown. */
  #blocks = [];

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text The whole text so far. */
  show(text) {
    const tokens = marked.lexer(text);
    const links = tokens.links;
    let same = 0;
    while (same < this.#blocks.length && this.#blocks[same] === tokens[same]?.raw) same += 1;
    while (this.#element.childNodes.length > same) this.#element.lastChild?.remove();
    for (const token of tokens.slice(same)) {
      const block = document.createElement("div");
      const html = marked.parser(Object.assign([token], { links }));
      block.innerHTML = DOMPurify.sanitize(html, CLEAN);
      this.#element.append(block);
    }
    this.#blocks = tokens.map((/** @type {{ raw: string }} */ token) => token.raw);
  }
}
