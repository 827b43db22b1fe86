/**
 * Stops: what operators have asked for, and how far each has got.
 *
 * Owns the list and its words. Does not own the asking (`scope-dialog.js`, `main.js`).
 */
const STEPS = /** @type {const} */ (["recorded", "acked", "upstream_closed", "settled"]);
const WORDS = { recorded: "recorded", acked: "acked", upstream_closed: "closed", settled: "settled" };
const MOST = 8;

export class Stops {
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  #list = /** @type {HTMLElement} */ (document.getElementById("stops"));
  #none = /** @type {HTMLElement} */ (document.getElementById("no-stops"));

  /** @param {any[]} broadcasts */
  show(broadcasts) {
    const newest = [...broadcasts].sort((a, b) => b.asked_at - a.asked_at).slice(0, MOST);
    this.#none.hidden = newest.length > 0;
    const shown = new Map(newest.map((one) => [one.id, this.#items.get(one.id) ?? document.createElement("li")]));
    for (const one of newest) fill(/** @type {HTMLElement} */ (shown.get(one.id)), one);
    this.#items = shown;
    this.#list.replaceChildren(...shown.values());
  }
}

/**
 * @param {HTMLElement} item
 * @param {any} broadcast
 */
function fill(item, { id, state, scope, by, reason, asked_at: askedAt, progress }) {
  item.dataset.id = id;
  item.dataset.state = state;
  const words = document.createElement("p");
  words.className = "mark";
  words.style.margin = "0";
  words.dataset.as = state === "running" ? "warn" : "good";
  const why = reason ? `, because: ${reason}` : "";
  const when = new Date(askedAt * 1000).toLocaleTimeString();
  words.textContent = `${scopeOf(scope)}, by ${by?.subject ?? "?"} at ${when}${why}`;
  const steps = document.createElement("div");
  steps.className = "steps";
  for (const step of STEPS) steps.append(stepOf(WORDS[step], progress[step], progress.recorded || progress.matched || 1));
  for (const odd of ["already_ended", "failed"]) {
    if (progress[odd]) steps.append(`${progress[odd]} ${odd.replace("_", " ")}`);
  }
  item.replaceChildren(words, steps);
}

/**
 * @param {string} word
 * @param {number} count
 * @param {number} of
 */
function stepOf(word, count, of) {
  const step = document.createElement("span");
  const bar = document.createElement("progress");
  bar.max = of;
  bar.value = count;
  bar.setAttribute("aria-label", word);
  step.append(bar, ` ${count} ${word}`);
  return step;
}

/** @param {any} scope */
export function scopeOf(scope) {
  if (scope.all) return "Everything";
  const { response_id: response, session, tenant, subject, model } = scope;
  if (response) return `Response ${response.slice(0, 16)}…`;
  const of = [session && `session ${session}`, subject && `subject ${subject}`, tenant && `tenant ${tenant}`, model && `model ${model}`];
  return `Stop of ${of.filter(Boolean).join(", ")}`;
}
