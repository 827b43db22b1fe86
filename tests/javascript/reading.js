// Reading: a test's patience, and what it holds a response to.
import { strict as assert } from "node:assert";

/** Quick to notice and to come back, and patient enough for a machine that does much else. */
export const TIMINGS = {
  heartbeatMs: 300,
  pongTimeoutMs: 1_000,
  connectTimeoutMs: 4_000,
  backoff: { baseMs: 20, maxMs: 200 },
  overloaded: { baseMs: 20, maxMs: 200 },
};

/** Wait until so many events of it have come; return them. */
export async function take(stream, count) {
  const events = [];
  while (events.length < count) {
    const { value, done } = await stream.next();
    assert.ok(!done, "it has ended");
    events.push(value);
  }
  return events;
}

/** The rest of its events. */
export async function rest(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

export const textOf = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

/** One whole response: numbered without gap or duplicate, and one ending. */
export function assertWhole(events, text) {
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, number) => number));
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(textOf(events), text);
}

/** One stopped response: as whole, and with the beginning of the text. */
export function assertStopped(events, text) {
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, number) => number));
  const { response, type } = events.at(-1);
  assert.deepEqual([type, response.status], ["response.incomplete", "cancelled"]);
  assert.ok(text.startsWith(textOf(events)));
  assert.ok(textOf(events).length < text.length);
}
