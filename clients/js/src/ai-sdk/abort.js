/**
 * Abort: what it means that the AI SDK aborted a request.
 *
 * `chat.stop()` aborts the signal of what is streamed. So does a second `resumeStream()`, to the first one's signal, and
 * that is no stop. Nothing on the signal tells them apart; but whoever resumes asks the transport for the new stream in
 * the same turn of the event loop. So the abort of a resume is judged one turn later: asked anew meanwhile, it was
 * superseded, else it was the stop. An abort of a request that sent messages is always the stop.
 */
export class Abort {
  /** @type {"none" | "undecided" | "stop" | "superseded"} */
  #meaning = "none";
  #signal;
  #isSuperseded;
  #onJudged;
  #timer;
  /** @type {(() => void) | null} */
  #onStop = null;
  /** @type {Promise<null>} Resolves when it is aborted. */
  happening;
  /** @type {() => void} */
  #happen = () => {};

  /**
   * @param {object} options
   * @param {AbortSignal | undefined} options.signal
   * @param {(() => boolean) | null} options.isSuperseded Null: it cannot be.
   * @param {(abort: Abort) => void} options.onJudged
   * @param {import("../clock.js").Timer} options.timer
   */
  constructor({ signal, isSuperseded, onJudged, timer }) {
    this.#signal = signal;
    this.#isSuperseded = isSuperseded;
    this.#onJudged = onJudged;
    this.#timer = timer;
    this.happening = new Promise((resolve) => (this.#happen = () => resolve(null)));
    if (signal?.aborted) this.#aborted();
    else signal?.addEventListener("abort", this.#aborted);
  }

  /** Whether it was aborted at all, whatever that turns out to mean. */
  get happened() {
    return this.#meaning !== "none";
  }

  get isStop() {
    return this.#meaning === "stop";
  }

  /**
   * Have this done at the stop: at once, if that has been.
   *
   * @param {() => void} run
   */
  onStop(run) {
    if (this.isStop) run();
    else this.#onStop = run;
  }

  /** Judge now: there is no later. */
  decide() {
    if (this.#meaning !== "undecided") return;
    this.#timer.clear();
    this.#meaning = this.#isSuperseded?.() ? "superseded" : "stop";
    this.#onJudged(this);
    if (this.isStop) this.#onStop?.();
  }

  /** What it would abort is over: listen no more. */
  release() {
    this.#signal?.removeEventListener("abort", this.#aborted);
  }

  #aborted = () => {
    this.#meaning = "undecided";
    this.#happen();
    this.release();
    if (this.#isSuperseded === null) this.decide();
    else this.#timer.set(0, () => this.decide());
  };
}
