// Fakes: a clock that moves when told, and a WebSocket whose server is the test. With these no test of the client waits.

export class FakeClock {
  time = 1_000;
  wall = 1_700_000_000_000;
  chance = 0.5;
  #timers = new Map();
  #count = 0;

  now = () => this.time;
  wallMs = () => this.wall;
  random = () => this.chance;

  setTimeout = (run, ms) => {
    this.#timers.set((this.#count += 1), { run, due: this.time + ms });
    return this.#count;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  /** Milliseconds until the next timer; Infinity if there is none. */
  get next() {
    return Math.min(...[...this.#timers.values()].map(({ due }) => due - this.time), Infinity);
  }

  /** Let time pass: timers fire one by one at their own time, and what they set off settles in between. */
  async advance(ms) {
    const until = this.time + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, timer]) => timer.due <= until).sort(([, a], [, b]) => a.due - b.due)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#to(Math.max(due[1].due, this.time));
      due[1].run();
    }
    this.#to(until);
  }

  /** Let time pass as a sleeping machine does: what was due in the meantime fires afterwards, late. */
  async sleep(ms) {
    this.#to(this.time + ms);
    await this.advance(0);
  }

  #to(time) {
    this.wall += time - this.time;
    this.time = time;
  }
}

/** Let what was resolved have its say. */
export async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await null;
}

/** Make a WebSocket constructor; `sockets` are those that were opened with it, the last one last. */
export function fakeNetwork() {
  const sockets = [];
  class FakeWebSocket {
    readyState = 0;
    sent = [];
    closedWith = null;
    answersPings = false;

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      sockets.push(this);
    }

    send(frame) {
      if (this.readyState !== 1) throw new Error("not open");
      this.sent.push(JSON.parse(frame));
      if (this.answersPings && this.sent.at(-1).type === "ping") this.say({ type: "pong" });
    }

    close(code) {
      this.readyState = 3;
      this.closedWith = code;
    }

    // What the server does.
    accept() {
      this.readyState = 1;
      this.onopen();
      this.say({ type: "pong" });
    }

    say(event) {
      this.onmessage({ data: typeof event === "string" ? event : JSON.stringify(event) });
    }

    shut(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }

    /** What was sent of this type. */
    of(type) {
      return this.sent.filter((frame) => frame.type === type);
    }
  }
  return { WebSocket: FakeWebSocket, sockets, last: () => sockets.at(-1) };
}

/** The events of a response: created, so many deltas, and the ending unless it is left out. */
export function eventsOf(id, deltas, { lane, status = "completed", ends = true } = {}) {
  const members = { response_id: id, ...(lane === undefined ? {} : { stream_id: lane }) };
  const events = [{ type: "response.created", ...members, response: { id, status: "queued", created_at: 1 } }];
  for (let n = 0; n < deltas; n += 1) events.push({ type: "response.output_text.delta", ...members, delta: `${n} ` });
  if (ends) {
    const type = status === "completed" ? "response.completed" : "response.incomplete";
    events.push({ type, ...members, response: { id, status, output: [], usage: {} } });
  }
  return events.map((event, sequence_number) => ({ ...event, sequence_number }));
}

/** The numbers of all events that an iteration gives; throws what it throws. */
export async function numbersOf(stream) {
  const numbers = [];
  for await (const event of stream) numbers.push(event.sequence_number);
  return numbers;
}

export const upTo = (count) => Array.from({ length: count }, (_, n) => n);
