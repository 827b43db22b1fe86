/**
 * Table: thousands of rows, of which only those in view are elements.
 *
 * Owns the elements, their order and what is selected. Does not own the rows: it is given those to show. Guarantees: a row
 * that stays in view keeps its element, so focus and selection stay where they are while all around it changes.
 */
const ROW_PX = 36;
const OVER = 8; // rows above and below the view
const COLUMNS = 10;
const NUMBER = new Intl.NumberFormat();

export class Table {
  /** @type {Set<string>} Ids. */
  selected = new Set();
  /** @type {any[]} */
  #rows = [];
  /** @type {Map<string, RowView>} */
  #views = new Map();
  #region;
  #body;
  #top = spacer();
  #bottom = spacer();
  #now = () => Date.now() / 1000;
  #listener;

  /**
   * @param {HTMLElement} region The element that scrolls.
   * @param {HTMLElement} body
   * @param {{ onStop: (row: any) => void, onSelect: () => void, now: () => number }} listener
   */
  constructor(region, body, listener) {
    this.#region = region;
    this.#body = body;
    this.#listener = listener;
    this.#now = listener.now;
    body.append(this.#top, this.#bottom);
    region.addEventListener("scroll", () => this.draw(), { passive: true });
  }

  /** @param {any[]} rows In their order. */
  show(rows) {
    this.#rows = rows;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.#region.scrollTop / ROW_PX) - OVER);
    const last = Math.min(this.#rows.length, first + Math.ceil(this.#region.clientHeight / ROW_PX) + 2 * OVER);
    this.#body.parentElement?.setAttribute("aria-rowcount", String(this.#rows.length + 1));
    setHeight(this.#top, first * ROW_PX);
    setHeight(this.#bottom, (this.#rows.length - last) * ROW_PX);
    /** @type {Map<string, RowView>} */
    const inView = new Map();
    let after = this.#top;
    for (let index = first; index < last; index += 1) {
      const row = this.#rows[index];
      const view = this.#views.get(row.id) ?? new RowView(row.id, this);
      inView.set(row.id, view);
      view.show(row, index, this.#now(), this.selected.has(row.id));
      if (after.nextSibling !== view.element) after.after(view.element);
      after = view.element;
    }
    for (const [id, view] of this.#views) if (!inView.has(id)) view.element.remove();
    this.#views = inView;
  }

  /**
   * @param {string} id
   * @param {boolean} isSelected
   */
  select(id, isSelected) {
    if (isSelected) this.selected.add(id);
    else this.selected.delete(id);
    this.#listener.onSelect();
  }

  /** @param {any} row */
  stop(row) {
    this.#listener.onStop(row);
  }
}

class RowView {
  element = document.createElement("tr");
  #row = /** @type {any} */ (null);
  #box = document.createElement("input");
  #cells = Array.from({ length: COLUMNS }, () => document.createElement("td"));
  #state = document.createElement("span");
  #rate = document.createElement("span");
  #spark = document.createElement("canvas");
  #stop = document.createElement("button");

  /**
   * @param {string} id
   * @param {Table} table
   */
  constructor(id, table) {
    this.element.dataset.id = id;
    this.#box.type = "checkbox";
    this.#box.addEventListener("change", () => table.select(id, this.#box.checked));
    this.#state.className = "mark";
    this.#spark.className = "spark";
    this.#spark.width = 128;
    this.#spark.height = 36;
    this.#spark.setAttribute("aria-hidden", "true");
    this.#stop.type = "button";
    this.#stop.className = "stop";
    this.#stop.textContent = "Stop";
    this.#stop.addEventListener("click", () => table.stop(this.#row));
    const [box, session, who, model, state, worker, age, , rate, stop] = this.#cells;
    box?.append(this.#box);
    session?.classList.add("name");
    who?.classList.add("wide", "name");
    model?.classList.add("wide");
    state?.append(this.#state);
    worker?.classList.add("wide");
    age?.classList.add("wide");
    rate?.classList.add("wide");
    rate?.append(this.#rate, this.#spark);
    stop?.append(this.#stop);
    this.element.append(...this.#cells);
  }

  /**
   * @param {any} row
   * @param {number} index
   * @param {number} now Unix seconds.
   * @param {boolean} isSelected
   */
  show(row, index, now, isSelected) {
    this.#row = row;
    this.element.setAttribute("aria-rowindex", String(index + 2));
    this.#box.checked = isSelected;
    const [, session, who, model, , worker, age, tokens] = this.#cells;
    if (session?.textContent !== row.session) {
      this.#box.setAttribute("aria-label", `Select ${row.session}`);
      this.#stop.setAttribute("aria-label", `Stop ${row.session}`);
    }
    write(session, row.session, `${row.id}, session ${row.session_tag}`);
    write(who, `${row.tenant} / ${row.subject}`);
    write(model, row.model);
    write(this.#state, row.stop ? "stopping" : row.state);
    this.#state.dataset.as = row.stop ? "bad" : row.state === "running" ? "good" : "warn";
    write(worker, row.worker ? `${row.worker.slice(0, 8)} on ${row.host ?? "?"}` : "", row.worker ?? "");
    write(age, ageOf(now - row.created_at));
    write(tokens, NUMBER.format(row.tokens));
    write(this.#rate, NUMBER.format(Math.round(row.tokens_per_s)));
    this.#stop.disabled = Boolean(row.stop);
    draw(this.#spark, row.rates);
  }
}

/**
 * Write a text where it differs: most cells don't change, and a write that changes nothing costs a layout all the same.
 *
 * @param {HTMLElement | undefined} element
 * @param {string} text
 * @param {string} [title]
 */
function write(element, text, title) {
  if (element === undefined) return;
  if (element.textContent !== text) element.textContent = text;
  if (title !== undefined && element.title !== title) element.title = title;
}

/** @param {number} seconds */
export function ageOf(seconds) {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} rates
 */
function draw(canvas, rates) {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (rates.length < 2) return;
  const most = Math.max(...rates, 1);
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 2;
  pen.beginPath();
  rates.forEach((rate, at) => {
    pen.lineTo((at / (rates.length - 1)) * canvas.width, canvas.height - 2 - (rate / most) * (canvas.height - 4));
  });
  pen.stroke();
}

function spacer() {
  const row = document.createElement("tr");
  row.className = "spacer";
  row.setAttribute("aria-hidden", "true");
  const cell = document.createElement("td");
  cell.colSpan = COLUMNS;
  row.append(cell);
  return row;
}

/**
 * @param {HTMLTableRowElement} row
 * @param {number} px
 */
function setHeight(row, px) {
  const cell = /** @type {HTMLElement} */ (row.firstElementChild);
  cell.style.height = `${px}px`;
  row.hidden = px === 0;
}
