/**
 * Audit: the last hour of who stopped what, newest first.
 *
 * Owns its rows and when they are read again: at times, while the page is looked at. The whole of it is the API's.
 */
import { ask } from "./access.js";
import { scopeOf } from "./stops.js";

const HOUR_S = 3600;
const MOST = 100;
const PAGE = 1000;

export class Audit {
  #body = /** @type {HTMLElement} */ (document.getElementById("audit"));
  // Where the next reading goes on.
  #place = "";
  /** @type {any[]} Oldest first. */
  #entries = [];
  #isReading = false;

  async refresh() {
    if (this.#isReading || document.hidden) return;
    this.#isReading = true;
    try {
      const after = this.#place || String(Math.floor(Date.now() / 1000 - HOUR_S));
      const { data } = await ask(`audit?limit=${PAGE}&after=${encodeURIComponent(after)}`);
      if (data.length === 0) return;
      this.#place = data.at(-1).place;
      this.#entries = [...this.#entries, ...data].slice(-MOST);
      this.#body.replaceChildren(...[...this.#entries].reverse().map(rowOf));
    } finally {
      this.#isReading = false;
    }
  }
}

/** @param {any} entry */
function rowOf({ at, asker, response_id: response, scope, reason, step, outcome }) {
  const row = document.createElement("tr");
  const what = response ? `${response.slice(0, 20)}…` : scope ? scopeOf(scope) : "";
  const who = asker?.principal?.subject ?? asker?.role ?? "andon";
  const told = step === "asked" ? "asked" : (outcome ?? "");
  for (const text of [new Date(at * 1000).toLocaleTimeString(), who, asker?.door ?? "", what, reason ?? "", told]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    row.append(cell);
  }
  return row;
}
