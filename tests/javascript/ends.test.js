// The client and gateways that end, freeze, or lose: 1012, 3008, a frozen process, 1011 `job_lost`.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { JobLostError } from "../../clients/js/index.js";
import { ask, leave, network, open } from "./control.js";
import { assertWhole, rest, take } from "./reading.js";

after(leave);

/** The codes and reasons of the closes that a client is told of. */
function closesOf(client) {
  const closes = [];
  client.onState((state, close) => close && closes.push([close.code, close.reason]));
  return closes;
}

test("a network that is too slow is closed with 3008; once it is better, the response comes whole", async (t) => {
  const { body, text } = await ask("prompt", { model: "sim-fat", tokens: 300, rate: 800 });
  const client = await open(t, { gateways: [0], timings: {} });
  const closes = closesOf(client);
  await network(0, "slow", { bytes_a_second: 20_000 });
  const response = client.create(body);
  await ask("logged", { gateway: 0, event: "socket.too_slow" });
  await network(0, "heal");
  const events = await rest(response);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, number) => number));
  assert.equal(events.at(-1).type, "response.completed");
  assert.deepEqual(closes, [[3008, "too_slow"]]);
  assert.ok(text);
});

test("a gateway that freezes is noticed, and the response goes on at the other", async (t) => {
  const { body, text } = await ask("prompt", { tokens: 100, rate: 50 });
  const client = await open(t);
  const closes = closesOf(client);
  const response = client.create(body);
  const events = await take(response, 10);
  await ask("gateway", { gateway: 0, signal_name: "SIGSTOP" });
  try {
    events.push(...(await rest(response)));
  } finally {
    await ask("gateway", { gateway: 0, signal_name: "SIGCONT" });
  }
  assertWhole(events, text);
  assert.deepEqual(closes[0], [1006, "no answer to a ping"]);
});

test("a response that the store lost is told as lost; the others go on", async (t) => {
  const prompts = await Promise.all([1, 2].map(() => ask("prompt", { tokens: 150, rate: 50 })));
  const client = await open(t);
  const closes = closesOf(client);
  const [lost, kept] = prompts.map(({ body }) => client.create(body));
  await take(lost, 10);
  const events = await take(kept, 10);
  assert.ok((await ask("lose", { containing: lost.id })) > 0);
  await assert.rejects(rest(lost), JobLostError);
  events.push(...(await rest(kept)));
  assertWhole(events, prompts[1].text);
  assert.ok(closes.some(([code, reason]) => code === 1011 && reason === "job_lost"));
});

test("a gateway that restarts sends 1012, and the response goes on at the other at once", async (t) => {
  const { key, body, text } = await ask("prompt", { tokens: 100, rate: 50 });
  // A back-off that the test would not outlast: only coming back at once does.
  const client = await open(t, { timings: { backoff: { baseMs: 60_000, maxMs: 60_000 } } });
  const closes = closesOf(client);
  const response = client.create(body);
  const events = await take(response, 10);
  await ask("gateway", { gateway: 0, signal_name: "SIGTERM" });
  events.push(...(await rest(response)));
  assertWhole(events, text);
  assert.deepEqual(closes, [[1012, "restarting"]]);
  assert.deepEqual(await ask("asked", { key }), { requests: 1, closed: false });
});
