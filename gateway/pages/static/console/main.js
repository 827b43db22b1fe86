/**
 * The operator's console: the feed in, elements out, and the stops that are asked for here.
 */
import { access, ask } from "./access.js";
import { Audit } from "./audit.js";
import { Charts } from "./charts.js";
import { Feed } from "./feed.js";
import { showFleet } from "./fleet.js";
import { Live } from "./live.js";
import { ScopeDialog } from "./scope-dialog.js";
import { Stops } from "./stops.js";
import { Table } from "./table.js";

const AUDIT_MS = 3000;
const STATES = { connecting: "Connecting", open: "Live", waiting: "Reconnecting", closed: "Not connected" };
const NUMBER = new Intl.NumberFormat();
// Stops asked for one by one, so many at once.
const AT_ONCE = 8;

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

const live = new Live();
const charts = new Charts(live);
const stops = new Stops();
const audit = new Audit();
const dialog = new ScopeDialog(announce);
const table = new Table(element("table-region"), element("rows"), { onStop: (row) => void stop([row]), onSelect: showSelected, now: () => live.now() });
const sort = { by: "created_at", isDescending: false };
/** @type {any[]} The rows that the search and the filter leave, in their order. */
let shown = [];

const feed = new Feed({
  onState: (state) => {
    element("connection").dataset.state = state;
    element("connection").textContent = STATES[/** @type {keyof typeof STATES} */ (state)];
  },
  onMessage: (message) => {
    element("token-section").hidden = true;
    live.take(message);
    requestAnimationFrame(show);
    if (message.stops?.length) void audit.refresh().catch(failed);
  },
  onRefused: (why) => {
    element("token-section").hidden = false;
    element("token-error").textContent = access.token ? why : "";
    element("token").focus();
  },
});

// ── showing ──────────────────────────────────────────────────────────────────────────────────────────────────────

function show() {
  showRows();
  showSums();
  stops.show(live.broadcasts);
  charts.draw();
  showFleet(live);
}

function showRows() {
  const text = element("search").value.trim().toLowerCase();
  const state = element("state").value;
  shown = [...live.rows.values()].filter((row) => (!state || row.state === state) && (!text || wordsOf(row).includes(text)));
  const way = sort.isDescending ? -1 : 1;
  shown.sort((a, b) => way * (a[sort.by] - b[sort.by]) || (a.id < b.id ? -1 : 1));
  for (const id of table.selected) if (!live.rows.has(id)) table.selected.delete(id);
  table.show(shown);
  const all = live.rows.size;
  element("count").textContent = shown.length === all ? NUMBER.format(all) : `${NUMBER.format(shown.length)} of ${NUMBER.format(all)}`;
  element("table").hidden = shown.length === 0;
  element("empty").hidden = shown.length > 0;
  element("empty").textContent = all ? "Nothing that is live matches." : "Nothing is live.";
  showSelected();
}

/** @param {any} row */
function wordsOf(row) {
  return [row.id, row.session, row.session_tag, row.tenant, row.subject, row.model, row.worker, row.host].join("\n").toLowerCase();
}

function showSums() {
  const rows = [...live.rows.values()];
  element("sum-live").textContent = NUMBER.format(rows.length);
  element("sum-queued").textContent = NUMBER.format(rows.filter((row) => row.state !== "running").length);
  element("sum-rate").textContent = NUMBER.format(Math.round(rows.reduce((sum, row) => sum + row.tokens_per_s, 0)));
  element("sum-workers").textContent = NUMBER.format(live.workers.filter((worker) => worker.state === "live").length);
  element("sum-sockets").textContent = NUMBER.format(live.gateways.reduce((sum, gateway) => sum + gateway.sockets, 0));
}

function showSelected() {
  const count = table.selected.size;
  element("stop-selected").disabled = count === 0;
  element("stop-selected").textContent = count ? `Stop ${count} selected` : "Stop selected";
  const all = element("select-all");
  const chosen = shown.filter((row) => table.selected.has(row.id)).length;
  all.checked = shown.length > 0 && chosen === shown.length;
  all.indeterminate = chosen > 0 && chosen < shown.length;
}

/** @param {string} words */
function announce(words) {
  element("announcer").textContent = words;
}

/** @param {unknown} error */
function failed(error) {
  announce(error instanceof Error ? error.message : String(error));
}

// ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {any[]} rows */
async function stop(rows) {
  const left = [...rows];
  const asking = async () => {
    for (let row = left.pop(); row !== undefined; row = left.pop()) {
      await ask("stops", { scope: { response_id: row.id }, reason: "operator" }).catch(failed);
    }
  };
  announce(rows.length === 1 ? "Stopping 1 response" : `Stopping ${rows.length} responses`);
  await Promise.all(Array.from({ length: AT_ONCE }, asking));
}

element("stop-selected").addEventListener("click", () => {
  const rows = [...table.selected].map((id) => live.rows.get(id)).filter(Boolean);
  table.selected.clear();
  showRows();
  void stop(rows);
});
element("stop-scope").addEventListener("click", () => dialog.open());

// ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────

for (const id of ["search", "state"]) {
  element(id).addEventListener("input", () => {
    element("table-region").scrollTop = 0;
    showRows();
  });
}
element("select-all").addEventListener("change", (/** @type {any} */ event) => {
  for (const row of shown) {
    if (event.target.checked) table.selected.add(row.id);
    else table.selected.delete(row.id);
  }
  showRows();
});
for (const button of document.querySelectorAll("button.sort")) {
  const by = /** @type {HTMLElement} */ (button).dataset.by ?? "created_at";
  button.addEventListener("click", () => {
    sort.isDescending = sort.by === by ? !sort.isDescending : true;
    sort.by = by;
    for (const heading of document.querySelectorAll("th[aria-sort]")) heading.removeAttribute("aria-sort");
    button.parentElement?.setAttribute("aria-sort", sort.isDescending ? "descending" : "ascending");
    showRows();
  });
}
element("token-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  access.token = element("token").value.trim();
  element("token").value = "";
  void feed.connect();
});
setInterval(() => {
  if (element("connection").dataset.state === "open") audit.refresh().catch(failed);
}, AUDIT_MS);
showRows();
void feed.connect();
