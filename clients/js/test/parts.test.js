// The parts that do no I/O: numbers, queue, back-off, addresses, close codes.
import assert from "node:assert/strict";
import { test } from "node:test";

import { endpoint } from "../src/address.js";
import { backoffMs } from "../src/backoff.js";
import { verdictOf } from "../src/close-codes.js";
import { Cursor } from "../src/cursor.js";
import { errorOf, NotFoundError, OverloadedError, RequestError } from "../src/errors.js";
import { EventQueue } from "../src/event-queue.js";
import { Ledger } from "../src/ledger.js";
import { Recovery } from "../src/recovery.js";
import { TIMINGS } from "../src/timings.js";

test("a cursor lets each number through once and in order", () => {
  const cursor = new Cursor();
  const verdicts = [0, 0, 2, 1, 2, 1].map((number) => cursor.take(number));
  assert.deepEqual(verdicts, ["next", "seen", "gap", "next", "next", "seen"]);
  assert.equal(new Cursor(7).take(8), "next");
});

test("a back-off doubles up to its bound, and half of it is chance", () => {
  const bounds = { baseMs: 100, maxMs: 1000 };
  assert.deepEqual([0, 1, 2, 3, 4, 99].map((failures) => backoffMs(failures, bounds, 1)), [100, 200, 400, 800, 1000, 1000]);
  assert.equal(backoffMs(0, bounds, 0), 50);
});

test("an unknown close code is a lost network", () => {
  const verdicts = [1012, 3008, 1013, 3000, 3003, 1011, 1006, 4999].map(verdictOf);
  assert.deepEqual(verdicts, ["at_once", "at_once", "later", "token", "give_up", "retry", "retry", "retry"]);
});

test("a loss is followed by a wait, unless the server was well until then", () => {
  const recovery = new Recovery({ token: { canRenew: false }, timings: TIMINGS, clock: { random: () => 1 } });
  const after = (code, wasWell) => recovery.after({ code, reason: "" }, wasWell);
  assert.deepEqual([after(1012, true), after(1012, false), after(1006, true), after(1013, true)], [0, 250, 500, 8000]);
  recovery.welcomed();
  assert.equal(after(1006, true), 250);
});

test("a server that is left for good is left with its own words, if it said any on that socket", () => {
  const recovery = new Recovery({ token: { canRenew: false }, timings: TIMINGS, clock: { random: () => 1 } });
  recovery.complained({ error: { message: "Not you." } });
  assert.equal(recovery.after({ code: 3003, reason: "no" }, true).message, "Not you.");
  recovery.opening();
  assert.equal(recovery.after({ code: 3003, reason: "no" }, true).message, "The server closed the connection with 3003 (no).");
});

test("what people paste becomes the endpoint", () => {
  const query = "session=a%20b&on_stop=keep";
  assert.equal(endpoint("https://host:1", "a b"), `wss://host:1/v1/responses?${query}`);
  assert.equal(endpoint("ws://host/v1/responses?x=1#y", "a b"), `ws://host/v1/responses?x=1&${query}`);
  assert.equal(endpoint("HTTP://host/deep/", "a b"), `ws://host/deep/?${query}`);
  assert.throws(() => endpoint("host:1", "s"), /no address of a gateway/);
  globalThis.location = { origin: "https://page" };
  assert.equal(endpoint("/v1/responses", "s"), "wss://page/v1/responses?session=s&on_stop=keep");
  delete globalThis.location;
});

test("a queue that is full takes no more until it has drained to half, and then says so", async () => {
  let drained = 0;
  const queue = new EventQueue(10, () => (drained += 1));
  for (const event of ["a", "b", "c"]) queue.put(event, 5);
  assert.equal(queue.hasRoom, false);
  queue.isBehind = true;
  await queue.next();
  assert.deepEqual([queue.hasRoom, drained], [false, 0]);
  await queue.next();
  assert.deepEqual([queue.hasRoom, drained], [true, 1]);
});

test("an event larger than the bound still goes through", () => {
  assert.equal(new EventQueue(1, () => {}).hasRoom, true);
});

test("a queue gives what it has before its ending", async () => {
  const queue = new EventQueue(10, () => {});
  queue.put("a", 1);
  queue.end(new Error("cut"));
  queue.end();
  assert.deepEqual(await queue.next(), { done: false, value: "a" });
  await assert.rejects(queue.next(), /cut/);
});

test("a reader that waits gets the next event, or the ending", async () => {
  const queue = new EventQueue(10, () => {});
  const [first, second] = [queue.next(), queue.next()];
  queue.put("a", 1);
  queue.end();
  assert.deepEqual(await Promise.all([first, second]), [{ done: false, value: "a" }, { done: true, value: undefined }]);
});

test("a ledger that is full refuses the caller", () => {
  const ledger = new Ledger(() => false);
  for (let n = 0; n < 1000; n += 1) ledger.add({ frame: { type: "t", event_id: `${n}` } });
  assert.throws(() => ledger.add({ frame: { type: "t", event_id: "x" } }), OverloadedError);
});

test("an error event becomes the error that says what can be done", () => {
  const error = { code: "c", message: "m", param: "p", type: "t" };
  const kinds = [400, 404, 429, 503].map((status) => errorOf({ status, error }));
  assert.deepEqual(kinds.map((kind) => kind.constructor), [RequestError, NotFoundError, OverloadedError, OverloadedError]);
  assert.deepEqual({ ...kinds[0] }, { code: "c", param: "p", type: "t", status: 400, name: "RequestError" });
});
