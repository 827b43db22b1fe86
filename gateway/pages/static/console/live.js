/**
 * Live: what the feed has told, put together.
 *
 * Owns the rows with their recent rates, the fleet, the broadcasts and the numbers of past stops. No elements, no I/O.
 * Bounded: what a page keeps of the past are `PAST` seconds.
 */
const PAST = 300;
const RATES = 40;

export class Live {
  /** @type {Map<string, any>} By response id; each with `rates`, its tokens a second of the last messages. */
  rows = new Map();
  /** @type {any[]} */
  workers = [];
  /** @type {any[]} */
  gateways = [];
  /** @type {any[]} */
  broadcasts = [];
  // One entry a second: Unix seconds, stops, tokens a second that they cut off, and p50 and p99 (ms) from stop to closed.
  /** @type {{ at: number[], stops: number[], cut: number[], p50: (number | null)[], p99: (number | null)[] }} */
  past = { at: [], stops: [], cut: [], p50: [], p99: [] };
  /** @type {number[]} From stop to closed, ms: all that this page has seen, the last thousand. */
  closedMs = [];
  cutTotal = 0;
  // The gateways' clock, less ours, in seconds.
  skewS = 0;

  /** @param {any} message */
  take(message) {
    this.skewS = message.at - Date.now() / 1000;
    // The rates of rows that end with this message: what their stops cut off.
    const rates = this.#ratesOf(message.stops ?? []);
    if (message.type === "snapshot") this.#replace(message.responses);
    for (const row of message.upserts ?? []) this.#put(row);
    for (const [id, [tokens, rate]] of Object.entries(message.tokens ?? {})) this.#count(id, tokens, rate);
    for (const id of message.removals ?? []) this.rows.delete(id);
    this.workers = message.workers ?? this.workers;
    this.gateways = message.gateways ?? this.gateways;
    this.broadcasts = message.broadcasts ?? this.broadcasts;
    this.#note(message.at, message.stops ?? [], rates);
  }

  /** @returns {number} Unix seconds, as the gateways count. */
  now() {
    return Date.now() / 1000 + this.skewS;
  }

  /** @param {any[]} stops */
  #ratesOf(stops) {
    return stops.map(({ response_id: id }) => this.rows.get(id)?.tokens_per_s ?? 0);
  }

  /** @param {any[]} rows */
  #replace(rows) {
    const known = this.rows;
    this.rows = new Map();
    for (const row of rows) this.#put(row, known.get(row.id)?.rates);
  }

  /**
   * @param {any} row
   * @param {number[]} [rates]
   */
  #put(row, rates = this.rows.get(row.id)?.rates ?? []) {
    this.rows.set(row.id, { ...row, rates: [...rates, row.tokens_per_s].slice(-RATES) });
  }

  /**
   * @param {string} id
   * @param {number} tokens
   * @param {number} rate
   */
  #count(id, tokens, rate) {
    const row = this.rows.get(id);
    if (row === undefined) return;
    row.tokens = tokens;
    row.tokens_per_s = rate;
    row.rates.push(rate);
    if (row.rates.length > RATES) row.rates.shift();
  }

  /**
   * @param {number} at
   * @param {any[]} stops
   * @param {number[]} rates
   */
  #note(at, stops, rates) {
    const closed = stops.map((stop) => stop.upstream_closed_s).filter((s) => s !== null && s !== undefined).map((s) => s * 1000);
    this.closedMs = [...this.closedMs, ...closed].slice(-1000);
    const cut = rates.reduce((sum, rate) => sum + rate, 0);
    this.cutTotal += cut;
    const { past } = this;
    past.at.push(at);
    past.stops.push(stops.length);
    past.cut.push(cut);
    past.p50.push(percentile(closed, 0.5));
    past.p99.push(percentile(closed, 0.99));
    if (past.at.length > PAST) for (const series of Object.values(past)) series.shift();
  }
}

/**
 * @param {number[]} values
 * @param {number} share 0 to 1.
 * @returns {number | null} Null where there is nothing.
 */
export function percentile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return /** @type {number} */ (sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? sorted[0]);
}
