/**
 * Abort: what it means that the AI SDK aborted a request.
 *
 * `chat.stop()` aborts the signal of what is streamed. So does a second `resumeStream()`, to the first one's signal, and
 * that is no stop. Nothing on the signal tells them apart; but whoever resumes asks the transport for the new stream in
 * the same turn of the event loop. So the abort of a resume is judged one turn later: asked anew meanwhile, it was
 * superseded, else it was the stop. An abort of a request that sent messages is always the stop.
 */
export declare class Abort {
    #private;
    /** @type {Promise<null>} Resolves when it is aborted. */
    happening: Promise<null>;
    /**
     * @param {object} options
     * @param {AbortSignal | undefined} options.signal
     * @param {(() => boolean) | null} options.isSuperseded Null: it cannot be.
     * @param {(abort: Abort) => void} options.onJudged
     * @param {import("../clock.js").Timer} options.timer
     */
    constructor({ signal, isSuperseded, onJudged, timer }: {
        signal: AbortSignal | undefined;
        isSuperseded: (() => boolean) | null;
        onJudged: (abort: Abort) => void;
        timer: import("../clock.js").Timer;
    });
    /** Whether it was aborted at all, whatever that turns out to mean. */
    get happened(): boolean;
    get isStop(): boolean;
    /**
     * Have this done at the stop: at once, if that has been.
     *
     * @param {() => void} run
     */
    onStop(run: () => void): void;
    /** Judge now: there is no later. */
    decide(): void;
    /** What it would abort is over: listen no more. */
    release(): void;
}
