// The client: what is said again, what is numbered, what a stop and a detach are. The clock and the network are the test's.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { Client, DetachedError, JobLostError, NotFoundError, OverloadedError, RequestError } from "../index.js";
import { eventsOf, fakeNetwork, FakeClock, numbersOf, settled, upTo } from "./fakes.js";

async function connected(options = {}) {
  const network = fakeNetwork();
  const clock = new FakeClock();
  const client = new Client({ url: "ws://one", session: "s", WebSocket: network.WebSocket, clock, watchPage: false, ...options });
  client.connect();
  await settled();
  network.last().accept();
  const again = async () => {
    await clock.advance(Math.min(clock.next, 1000));
    network.last().accept();
    return network.last();
  };
  return { client, clock, again, ...network };
}

const laneOf = (socket) => socket.of("response.create").at(-1).stream_id;

const stops = (id) => [{ response_id: id, recorded: 1, replicated: null, acked: 2, upstream_closed: 3, settled: 4 }];

test("a response is iterated to its ending, and is done", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m", input: "hi" });
  const { type, event_id, stream_id, ...body } = last().of("response.create")[0];
  assert.deepEqual([type, body], ["response.create", { model: "m", input: "hi" }]);
  for (const event of eventsOf("resp_1", 3, { lane: stream_id })) last().say(event);
  assert.equal(await response.created, "resp_1");
  assert.deepEqual(await numbersOf(response), upTo(5));
  assert.equal((await response.done).status, "completed");
  assert.equal(await response.stop(), null);
  assert.equal(event_id, stream_id);
});

test("text() gives the pieces of text alone", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  for (const event of eventsOf("resp_1", 3, { lane: laneOf(last()) })) last().say(event);
  const pieces = [];
  for await (const piece of response.text()) pieces.push(piece);
  assert.equal(pieces.join(""), "0 1 2 ");
});

test("after a lost connection it goes on from the last number: no gap, no duplicate", async () => {
  const { client, again, last } = await connected();
  const response = client.create({ model: "m" });
  const events = eventsOf("resp_1", 6, { lane: laneOf(last()) });
  for (const event of events.slice(0, 3)) last().say(event);
  last().shut(1006);
  const next = await again();
  const { event_id, ...retrieve } = next.of("response.retrieve")[0];
  assert.deepEqual(retrieve, { type: "response.retrieve", response_id: "resp_1", starting_after: 2 });
  assert.equal(next.of("response.create").length, 0);
  for (const event of events.slice(1)) next.say(event);
  assert.deepEqual(await numbersOf(response), upTo(8));
  assert.ok(event_id);
});

test("a gap is asked for again, and what is ahead of it is not taken", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  const events = eventsOf("resp_1", 4, { lane: laneOf(last()) });
  for (const at of [0, 1, 3, 4]) last().say(events[at]);
  assert.deepEqual(last().of("response.retrieve").map((frame) => frame.starting_after), [1]);
  for (const at of [2, 3, 4, 5]) last().say(events[at]);
  assert.deepEqual(await numbersOf(response), upTo(6));
});

test("a create that was not answered is said again, word for word", async () => {
  const { client, again, last } = await connected();
  client.create({ model: "m" }, { eventId: "mine" });
  const [first] = last().of("response.create");
  last().shut(1006);
  const next = await again();
  assert.deepEqual(next.of("response.create"), [first]);
  next.say(eventsOf("resp_1", 0, { lane: laneOf(next) })[0]);
  next.shut(1006);
  assert.equal((await again()).of("response.create").length, 0);
});

test("a repeated create that finds its response under way gets it from the first event", async () => {
  const { client, last } = await connected();
  const resuming = client.resume();
  last().say({ type: "response.retrieve.accepted", response_ids: ["resp_1"], event_id: last().of("response.retrieve")[0].event_id });
  const [resumed] = await resuming;
  const response = client.create({ model: "m" }, { eventId: "mine" });
  const events = eventsOf("resp_1", 4, { lane: "mine" });
  last().say(events[3]);
  const [, retrieve] = last().of("response.retrieve");
  assert.deepEqual([retrieve.response_id, retrieve.starting_after], ["resp_1", undefined]);
  for (const event of events) last().say(event);
  assert.deepEqual(await numbersOf(response), upTo(6));
  await assert.rejects(resumed.next(), DetachedError);
});

test("a create that is refused throws where it is iterated", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  const { event_id, stream_id } = last().of("response.create")[0];
  const error = { code: "missing_required_parameter", message: "Give `input`.", param: "input" };
  last().say({ type: "error", status: 400, error, event_id, stream_id });
  await assert.rejects(response.next(), (thrown) => thrown instanceof RequestError && thrown.param === "input");
  await assert.rejects(response.done, RequestError);
  assert.equal(await response.stop(), null);
});

test("what the server cannot obey now is said again, and in the end refused", async () => {
  const { client, clock, last } = await connected();
  const response = client.create({ model: "m" });
  const { event_id } = last().of("response.create")[0];
  const refusal = { type: "error", status: 503, error: { code: "store_unavailable", message: "Redis is away." }, event_id };
  for (let n = 1; n <= 8; n += 1) {
    assert.equal(last().of("response.create").length, n);
    last().say(refusal);
    last().say({ type: "noise" });
    await clock.advance(15_000);
    last().say({ type: "pong" });
  }
  await assert.rejects(response.next(), OverloadedError);
});

test("a retrieve that the server cannot obey now is said again", async () => {
  const { client, clock, last } = await connected();
  client.retrieve("resp_1", { startingAfter: 4 });
  const { event_id } = last().of("response.retrieve")[0];
  last().say({ type: "error", status: 503, error: { code: "store_unavailable" }, event_id });
  await clock.advance(1000);
  assert.deepEqual(last().of("response.retrieve").map((frame) => frame.starting_after), [4, 4]);
});

test("an unknown response is not found", async () => {
  const { client, last } = await connected();
  const response = client.retrieve("resp_x");
  const { event_id } = last().of("response.retrieve")[0];
  last().say({ type: "error", status: 404, error: { code: "response_not_found", message: "No." }, event_id });
  await assert.rejects(response.next(), NotFoundError);
});

test("after 1011 job_lost, what is not found any more was lost; the rest goes on", async () => {
  const { client, again, last } = await connected();
  const [one, two] = [client.retrieve("resp_1"), client.retrieve("resp_2")];
  last().shut(1011, "job_lost");
  const next = await again();
  const [{ event_id }] = next.of("response.retrieve");
  next.say({ type: "error", status: 404, error: { code: "response_not_found", message: "No." }, event_id });
  for (const event of eventsOf("resp_2", 1)) next.say(event);
  await assert.rejects(one.next(), JobLostError);
  assert.deepEqual(await numbersOf(two), upTo(3));
});

test("1009 refuses the largest frame, and the others go on", async () => {
  const { client, again, last } = await connected();
  const [small, large] = [client.create({ model: "m" }), client.create({ model: "m", input: "x".repeat(1000) })];
  last().shut(1009, "frame_too_big");
  await assert.rejects(large.next(), (error) => error.code === "frame_too_big");
  const next = await again();
  assert.equal(next.of("response.create").length, 1);
  for (const event of eventsOf("resp_1", 0, { lane: laneOf(next) })) next.say(event);
  assert.deepEqual(await numbersOf(small), upTo(2));
});

// ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

test("a stop tells how far it got, and the iteration goes on to the ending", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  const events = eventsOf("resp_1", 2, { lane: laneOf(last()), status: "cancelled" });
  last().say(events[0]);
  const stopping = response.stop({ reason: "enough" });
  await settled();
  const { event_id, ...cancel } = last().of("response.cancel")[0];
  assert.deepEqual(cancel, { type: "response.cancel", response_id: "resp_1", reason: "enough" });
  last().say({ type: "response.cancel.accepted", stops: stops("resp_1"), event_id });
  for (const event of events) last().say(event);
  last().say({ type: "response.cancel.done", stops: stops("resp_1"), event_id });
  assert.deepEqual(await stopping, stops("resp_1")[0]);
  assert.deepEqual(await numbersOf(response), upTo(4));
  assert.equal((await response.done).status, "cancelled");
});

test("a stop before the response has an id waits for it", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  const stopping = response.stop();
  await settled();
  assert.equal(last().of("response.cancel").length, 0);
  last().say(eventsOf("resp_1", 0, { lane: laneOf(last()) })[0]);
  await settled();
  const [{ response_id, event_id }] = last().of("response.cancel");
  last().say({ type: "response.cancel.done", stops: stops("resp_1"), event_id });
  assert.equal(response_id, "resp_1");
  assert.equal((await stopping).settled, 4);
});

test("a stop that was not answered is asked for again; one that meanwhile took effect is told as it was accepted", async () => {
  const { client, again, last } = await connected();
  const response = client.retrieve("resp_1");
  const stopping = response.stop();
  await settled();
  last().say({ type: "response.cancel.accepted", stops: stops("resp_1"), event_id: last().of("response.cancel")[0].event_id });
  last().shut(1006);
  const next = await again();
  const [{ event_id }] = next.of("response.cancel");
  next.say({ type: "response.cancel.failed", code: "already_ended", error: {}, event_id });
  assert.deepEqual(await stopping, stops("resp_1")[0]);
});

test("a stop that the ending overtakes is null, also if the client is closed before it is answered", async () => {
  const { client, last } = await connected();
  const response = client.create({ model: "m" });
  for (const event of eventsOf("resp_1", 3, { lane: laneOf(last()) }).slice(0, 2)) last().say(event);
  await response.created;
  const stopping = response.stop();
  for (const event of eventsOf("resp_1", 3, { lane: laneOf(last()) }).slice(2)) last().say(event);
  await response.done;
  client.close();
  assert.equal(await stopping, null);
});

test("nothing left to stop is null; an unknown id is not found", async () => {
  const { client, last } = await connected();
  const first = client.retrieve("resp_1").stop();
  await settled();
  last().say({ type: "response.cancel.failed", code: "already_ended", error: {}, event_id: last().of("response.cancel")[0].event_id });
  assert.equal(await first, null);
  const second = client.stop({ responseId: "resp_2" });
  const { event_id } = last().of("response.cancel")[1];
  last().say({ type: "error", status: 404, error: { code: "response_not_found", message: "No." }, event_id });
  await assert.rejects(second, NotFoundError);
});

test("a create that was never sent is stopped by not sending it", async () => {
  const { WebSocket, last } = fakeNetwork();
  const client = new Client({ url: "ws://one", WebSocket, clock: new FakeClock(), watchPage: false });
  const abort = new AbortController();
  const [one, two] = [client.create({ model: "m" }), client.create({ model: "m" }, { signal: abort.signal })];
  assert.equal(await one.stop(), null);
  abort.abort(new Error("changed my mind"));
  await assert.rejects(one.next(), { name: "AbortError" });
  await assert.rejects(two.next(), /changed my mind/);
  last().accept();
  assert.equal(last().of("response.create").length, 0);
});

test("aborting the signal stops, with its reason if that is a text", async () => {
  const { client, last } = await connected();
  const abort = new AbortController();
  const response = client.retrieve("resp_1", { signal: abort.signal });
  abort.abort("escape");
  await settled();
  assert.equal(last().of("response.cancel")[0].reason, "escape");
  for (const event of eventsOf("resp_1", 1, { status: "cancelled" })) last().say(event);
  assert.deepEqual(await numbersOf(response), upTo(3));
});

test("a signal that was aborted before creates nothing", async () => {
  const { client, last } = await connected();
  assert.throws(() => client.create({ model: "m" }, { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(last().of("response.create").length, 0);
});

test("the abort of a stop that cannot be asked for is how the response ends", async () => {
  const { client, last } = await connected();
  const abort = new AbortController();
  const response = client.retrieve("resp_1", { signal: abort.signal });
  abort.abort();
  await settled();
  const [{ event_id }] = last().of("response.cancel");
  last().say({ type: "error", status: 403, error: { code: "forbidden", message: "Not yours." }, event_id });
  await assert.rejects(response.next(), /Not yours/);
});

test("the whole session is stopped", async () => {
  const { client, last } = await connected();
  const stopping = client.stop({ reason: "all" });
  const [{ event_id, response_id }] = last().of("response.cancel");
  last().say({ type: "response.cancel.done", stops: [...stops("resp_1"), ...stops("resp_2")], event_id });
  assert.equal(response_id, undefined);
  assert.deepEqual((await stopping).map((stop) => stop.response_id), ["resp_1", "resp_2"]);
});

// ── detach ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test("leaving the loop is a detach: no stop, the socket is left, the others are followed on the next", async () => {
  const { client, again, sockets, last } = await connected();
  const [left, kept] = [client.retrieve("resp_1"), client.retrieve("resp_2")];
  for (const event of eventsOf("resp_1", 3, { ends: false })) last().say(event);
  for await (const event of left) if (event.sequence_number === 1) break;
  await settled();
  assert.equal(sockets[0].closedWith, 1000);
  const next = await again();
  assert.deepEqual(next.of("response.retrieve").map((frame) => frame.response_id), ["resp_2"]);
  for (const event of eventsOf("resp_2", 0)) next.say(event);
  assert.deepEqual(await numbersOf(kept), upTo(2));
  assert.deepEqual(sockets.flatMap((socket) => socket.of("response.cancel")), []);
});

test("closing is a detach: iterations throw, with what is needed to go on elsewhere", async () => {
  const { client, last } = await connected();
  const response = client.retrieve("resp_1");
  for (const event of eventsOf("resp_1", 1, { ends: false })) last().say(event);
  client.close();
  assert.equal((await response.next()).value.sequence_number, 0);
  await response.next();
  await assert.rejects(response.next(), (error) => {
    assert.ok(error instanceof DetachedError);
    assert.deepEqual([error.responseId, error.lastSequenceNumber], ["resp_1", 1]);
    return true;
  });
  assert.equal(last().of("response.cancel").length, 0);
  await assert.rejects(client.stop(), /closed/);
  await assert.rejects(client.resume(), /closed/);
});

test("a response that was left can still be stopped", async () => {
  const { client, again } = await connected();
  const response = client.retrieve("resp_1");
  response.detach();
  await settled();
  const next = await again();
  const stopping = response.stop();
  await settled();
  const [{ event_id }] = next.of("response.cancel");
  next.say({ type: "response.cancel.done", stops: stops("resp_1"), event_id });
  assert.equal((await stopping).settled, 4);
});

test("a second retrieve of a response takes it over", async () => {
  const { client, last } = await connected();
  const [first, second] = [client.retrieve("resp_1"), client.retrieve("resp_1")];
  for (const event of eventsOf("resp_1", 1)) last().say(event);
  await assert.rejects(first.next(), DetachedError);
  assert.deepEqual(await numbersOf(second), upTo(3));
});

test("resume gives what is live, from its first event", async () => {
  const { client, last } = await connected();
  const resuming = client.resume();
  const [{ event_id }] = last().of("response.retrieve");
  last().say({ type: "response.retrieve.accepted", response_ids: ["resp_1"], event_id });
  for (const event of eventsOf("resp_1", 2)) last().say(event);
  const [response] = await resuming;
  assert.deepEqual(await numbersOf(response), upTo(4));
});

// ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test("a slow reader costs no more than the bound, and gets every event", async () => {
  const { client, last } = await connected({ queueChars: 2000 });
  const response = client.retrieve("resp_1");
  const events = eventsOf("resp_1", 200);
  // The server: answers each retrieve with all that comes after the number.
  let answered = 0;
  const serve = () => {
    for (const { starting_after = -1 } of last().of("response.retrieve").slice(answered)) {
      answered += 1;
      for (const event of events.slice(starting_after + 1)) last().say(event);
    }
  };
  serve();
  assert.equal((await response.done).status, "completed");
  assert.ok(response.lastSequenceNumber < 50);
  const numbers = [];
  for await (const event of response) {
    numbers.push(event.sequence_number);
    serve();
  }
  assert.deepEqual(numbers, upTo(202));
  assert.ok(answered > 5);
});

test("a create that is one too many is refused, and leaves nothing behind", async () => {
  const { client } = await connected();
  const signal = new AbortController().signal;
  for (let n = 0; n < 1000; n += 1) client.create({ model: "m" });
  assert.throws(() => client.create({ model: "m" }, { signal, eventId: "extra" }), OverloadedError);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});
