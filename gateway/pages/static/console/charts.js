/**
 * Charts: the past minutes, drawn by uPlot.
 *
 * Owns the three charts, their size and their colours. Does not own the numbers.
 */
import uPlot from "/assets/vendor/uplot.js";
import { percentile } from "./live.js";

const HEIGHT = 130;

export class Charts {
  #live;
  /** @type {{ plot: any, data: () => any[] }[]} */
  #all = [];

  /** @param {import("./live.js").Live} live */
  constructor(live) {
    this.#live = live;
    const { past } = live;
    this.#add("chart-stops", [{ label: "stops", stroke: colour("--stop"), fill: colour("--stop", 0.25) }], () => [past.stops]);
    const closed = [
      { label: "p50", stroke: colour("--good"), points: { show: true } },
      { label: "p99", stroke: colour("--warn"), points: { show: true } },
    ];
    this.#add("chart-closed", closed, () => [past.p50, past.p99]);
    this.#add("chart-cut", [{ label: "tokens/s", stroke: colour("--accent"), fill: colour("--accent", 0.25) }], () => [past.cut]);
    new ResizeObserver(() => this.#fit()).observe(element("chart-stops"));
  }

  draw() {
    for (const { plot, data } of this.#all) plot.setData([this.#live.past.at, ...data()]);
    const { closedMs, cutTotal } = this.#live;
    if (closedMs.length) {
      const [p50, p99] = [percentile(closedMs, 0.5), percentile(closedMs, 0.99)].map((ms) => (ms ?? 0).toFixed(1));
      element("percentiles").textContent = `p50 ${p50}, p99 ${p99}, of ${closedMs.length} stops`;
    }
    element("cut").textContent = Math.round(cutTotal).toLocaleString();
  }

  /**
   * @param {string} id
   * @param {any[]} series
   * @param {() => any[]} data
   */
  #add(id, series, data) {
    const place = element(id);
    const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line") }, font: "11px system-ui" };
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, most || 1] } },
      axes: [axis, { ...axis, size: 40 }],
      series: [{}, ...series.map((one) => ({ width: 1.5, spanGaps: true, ...one }))],
    };
    this.#all.push({ plot: new uPlot(options, [[], ...series.map(() => [])], place), data });
  }

  #fit() {
    for (const { plot } of this.#all) {
      const width = plot.root.parentElement.clientWidth;
      if (width > 0) plot.setSize({ width, height: HEIGHT });
    }
  }
}

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Resolve a colour of the style sheet: a canvas does not know `light-dark()`.
 *
 * @param {string} name
 * @param {number} [alpha]
 */
function colour(name, alpha = 1) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g) ?? ["0", "0", "0"];
  probe.remove();
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}
