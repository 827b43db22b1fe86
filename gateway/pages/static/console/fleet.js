/**
 * Fleet: the workers and gateways, and how they are.
 */
import { ageOf } from "./table.js";

const HEALTH = { live: "good", draining: "warn", overdue: "bad", dead: "bad" };

/** @param {import("./live.js").Live} live */
export function showFleet(live) {
  fill("workers", live.workers, (/** @type {any} */ worker) => [
    `${worker.id.slice(0, 10)} on ${worker.host}`,
    mark(worker.state, HEALTH[/** @type {keyof typeof HEALTH} */ (worker.state)] ?? "warn"),
    String(worker.live),
    String(Math.max(0, worker.concurrency - worker.live)),
    worker.lease_left_s > 0 ? `${worker.lease_left_s.toFixed(1)} s` : "none",
  ]);
  fill("gateways", live.gateways, (/** @type {any} */ gateway) => [
    `${gateway.id.slice(0, 10)} on ${gateway.host}`,
    mark(gateway.draining ? "draining" : "live", gateway.draining ? "warn" : "good"),
    String(gateway.sockets),
    ageOf(live.now() - gateway.since),
  ]);
}

/**
 * @param {string} id
 * @param {any[]} things
 * @param {(thing: any) => (string | Node)[]} cellsOf
 */
function fill(id, things, cellsOf) {
  const rows = things.map((thing) => {
    const row = document.createElement("tr");
    for (const content of cellsOf(thing)) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  });
  document.getElementById(id)?.replaceChildren(...rows);
}

/**
 * @param {string} word
 * @param {string} as
 */
function mark(word, as) {
  const shown = document.createElement("span");
  shown.className = "mark";
  shown.dataset.as = as;
  shown.textContent = word;
  return shown;
}
