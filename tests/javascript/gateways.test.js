// The client against two gateways on a bad network: storms, resume, stop, aborts, networks that die without a word.
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";

import { DetachedError, NotFoundError } from "../../clients/js/index.js";
import { ask, leave, network, newSession, open } from "./control.js";
import { assertStopped, assertWhole, rest, take } from "./reading.js";

after(leave);
afterEach(async () => {
  for (const gateway of [0, 1]) await network(gateway, "heal");
});

test("a response comes whole", async (t) => {
  const { body, text } = await ask("prompt");
  const client = await open(t);
  const response = client.create(body);
  const events = await rest(response);
  assertWhole(events, text);
  assert.equal(events[0].session, client.session);
  assert.equal((await response.done).id, await response.created);
});

test("a storm of lost connections, over two gateways, loses nothing and doubles nothing", async (t) => {
  const { key, body, text } = await ask("prompt", { tokens: 200, rate: 100 });
  const client = await open(t);
  let opened = 0;
  client.onState((state) => (opened += state === "open"));
  const response = client.create(body);
  const events = [];
  let cuts = 0;
  for await (const event of response) {
    events.push(event);
    if (events.length % 20 === 0) {
      cuts += 1;
      await Promise.all([network(0, "cut"), network(1, "cut")]);
    }
  }
  assertWhole(events, text);
  assert.ok(cuts >= 8 && opened >= 5, `${cuts} cuts, ${opened} sockets`);
  assert.deepEqual(await ask("asked", { key }), { requests: 1, closed: false });
});

test("many responses side by side get through a storm, each its own", async (t) => {
  const prompts = await Promise.all(Array.from({ length: 8 }, () => ask("prompt", { tokens: 150, rate: 100 })));
  const client = await open(t);
  const reading = Promise.all(prompts.map(({ body }) => rest(client.create(body))));
  let isOver = false;
  const storm = (async () => {
    const pulse = client.create((await ask("prompt", { tokens: 60, rate: 40 })).body);
    for await (const event of pulse) if (!isOver && event.sequence_number % 10 === 9) await network(event.sequence_number % 20 < 10 ? 0 : 1, "cut");
  })();
  for (const [at, events] of (await reading).entries()) assertWhole(events, prompts[at].text);
  isOver = true;
  await storm;
});

test("a create whose answer is lost runs once", async (t) => {
  const { key, body, text } = await ask("prompt");
  const client = await open(t, { gateways: [0] });
  client.connect();
  await new Promise((resolve) => client.onState((state) => state === "open" && resolve()));
  await network(0, "hold");
  const response = client.create(body);
  await network(0, "refuse");
  await network(0, "heal");
  assertWhole(await rest(response), text);
  assert.equal((await ask("asked", { key })).requests, 1);
});

test("a gateway that cannot be reached is left for another", async (t) => {
  await network(0, "refuse");
  const { body, text } = await ask("prompt");
  assertWhole(await rest((await open(t)).create(body)), text);
});

test("a network that dies without a word is noticed, and the response goes on elsewhere", async (t) => {
  const { body, text } = await ask("prompt", { tokens: 120, rate: 50 });
  const client = await open(t);
  const closes = [];
  client.onState((state, close) => close && closes.push(close.reason));
  const response = client.create(body);
  const events = await take(response, 20);
  await network(0, "hold");
  events.push(...(await rest(response)));
  assertWhole(events, text);
  assert.equal(closes[0], "no answer to a ping");
});

test("another client resumes from the last number, at the other gateway", async (t) => {
  const { body, text } = await ask("prompt", { tokens: 150, rate: 100 });
  const session = newSession();
  const first = await open(t, { session, gateways: [0] });
  const response = first.create(body);
  const events = await take(response, 30);
  first.close();
  await assert.rejects(rest(response), (error) => {
    assert.ok(error instanceof DetachedError);
    assert.ok(error.lastSequenceNumber >= 29);
    return true;
  });
  const second = await open(t, { session, gateways: [1] });
  events.push(...(await rest(second.retrieve(response.id, { startingAfter: 29 }))));
  assertWhole(events, text);
});

test("after a reload, what is live is found and comes from its first event", async (t) => {
  const { body, text } = await ask("prompt", { tokens: 150, rate: 100 });
  const session = newSession();
  const first = await open(t, { session, gateways: [0] });
  await take(first.create(body), 10);
  first.close();
  const second = await open(t, { session, gateways: [1] });
  const [response, ...others] = await second.resume();
  assert.equal(others.length, 0);
  assertWhole(await rest(response), text);
  assert.deepEqual(await second.resume(), []);
});

test("the same create after a reload, by its event id, is the same response", async (t) => {
  const { key, body, text } = await ask("prompt", { tokens: 100, rate: 100 });
  const session = newSession();
  const first = await open(t, { session });
  const before = first.create(body, { eventId: key });
  await take(before, 10);
  first.close();
  const second = await open(t, { session });
  const response = second.create(body, { eventId: key });
  assertWhole(await rest(response), text);
  assert.equal(response.id, before.id);
  assert.equal((await ask("asked", { key })).requests, 1);
});

test("a slow reader with little memory gets every event", async (t) => {
  const { body, text } = await ask("prompt", { tokens: 300, rate: 0 });
  const client = await open(t, { queueChars: 4_000 });
  const response = client.create(body);
  assert.equal((await response.done).status, "completed");
  assert.ok(response.lastSequenceNumber < 100);
  assertWhole(await rest(response), text);
});

test("leaving the loop is a detach: the response goes on, and is there for whoever comes", async (t) => {
  const { key, body, text } = await ask("prompt", { tokens: 100, rate: 100 });
  const client = await open(t);
  const response = client.create(body);
  for await (const event of response) if (event.sequence_number === 10) break;
  assertWhole(await rest(client.retrieve(response.id)), text);
  assert.deepEqual(await ask("asked", { key }), { requests: 1, closed: false });
});

// ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const LONG = { tokens: 2000, rate: 100 };

test("a stop closes the upstream, and the iteration ends with what it saved", async (t) => {
  const { key, body, text } = await ask("prompt", LONG);
  const response = (await open(t)).create(body);
  const events = await take(response, 20);
  const times = await response.stop({ reason: "enough" });
  events.push(...(await rest(response)));
  assertStopped(events, text);
  assert.ok(times.recorded <= times.settled && times.upstream_closed);
  assert.equal((await response.done).stop.reason, "enough");
  assert.deepEqual(await ask("asked", { key }), { requests: 1, closed: true });
  assert.equal(await response.stop(), null);
});

test("aborting the signal is a stop, at once, or before the response has an id", async (t) => {
  for (const events of [0, 20]) {
    const { key, body, text } = await ask("prompt", LONG);
    const abort = new AbortController();
    const client = await open(t);
    await client.resume(); // the socket is open: a create that was never sent would need no stop
    const response = client.create(body, { signal: abort.signal });
    const taken = await take(response, events);
    abort.abort("escape");
    taken.push(...(await rest(response)));
    assertStopped(taken, text);
    assert.equal((await response.done).stop.reason, "escape");
    if (events > 0) assert.ok((await ask("asked", { key })).closed); // else the model may never have been asked
  }
});

test("a stop that is asked for while the network is away takes effect once it is back", async (t) => {
  const { key, body, text } = await ask("prompt", LONG);
  const response = (await open(t)).create(body);
  const events = await take(response, 20);
  await Promise.all([network(0, "refuse"), network(1, "refuse")]);
  const stopping = response.stop();
  await Promise.all([network(0, "heal"), network(1, "heal")]);
  assert.ok((await stopping).recorded);
  events.push(...(await rest(response)));
  assertStopped(events, text);
  assert.ok((await ask("asked", { key })).closed);
});

test("a stop from another client, by id or of the whole session, ends what everybody follows", async (t) => {
  for (const byId of [true, false]) {
    const { body, text } = await ask("prompt", LONG);
    const session = newSession();
    const response = (await open(t, { session, gateways: [0] })).create(body);
    const events = await take(response, 20);
    const other = await open(t, { session, gateways: [1] });
    const stops = await other.stop(byId ? { responseId: response.id } : {});
    assert.deepEqual(stops.map((stop) => stop.response_id), [response.id]);
    events.push(...(await rest(response)));
    assertStopped(events, text);
    assert.deepEqual(await other.stop(), []);
  }
});

test("an unknown response is not found, nor stopped", async (t) => {
  const client = await open(t);
  const { body } = await ask("prompt");
  const response = client.create(body);
  await rest(response);
  const unknown = `${response.id.slice(0, -4)}0000`;
  await assert.rejects(rest(client.retrieve(unknown)), NotFoundError);
  await assert.rejects(client.stop({ responseId: unknown }), NotFoundError);
});
