// The connection: dialling, back-off, heartbeats, tokens, close codes. The clock and the network are the test's.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, ForbiddenError, UnauthorizedError } from "../index.js";
import { eventsOf, fakeNetwork, FakeClock, settled } from "./fakes.js";

async function connected(options = {}) {
  const network = fakeNetwork();
  const clock = new FakeClock();
  const client = new Client({ url: "ws://one", session: "s", WebSocket: network.WebSocket, clock, watchPage: false, ...options });
  const states = [];
  client.onState((state) => states.push(state));
  client.connect();
  await settled();
  network.last().accept();
  return { client, clock, states, ...network };
}

test("it is open once the server answers, not before", async () => {
  const { client, states, last } = await connected();
  assert.deepEqual(states, ["connecting", "open"]);
  assert.deepEqual(last().of("ping").length, 1);
  assert.deepEqual(last().protocols, ["andon.v1"]);
  client.close();
  assert.deepEqual([client.state, last().closedWith], ["closed", 1000]);
});

test("silence is answered by a ping, and a ping that nobody answers by another socket", async () => {
  const { client, clock, sockets } = await connected();
  await clock.advance(15_000);
  assert.equal(sockets[0].of("ping").length, 2);
  sockets[0].say({ type: "pong" });
  await clock.advance(15_000 + 7_999);
  assert.equal(client.state, "open");
  await clock.advance(1);
  assert.equal(client.state, "waiting");
  await clock.advance(250);
  assert.equal(sockets.length, 2);
  // What a socket that was given up still says is not heard.
  sockets[0].say({ type: "pong" });
  sockets[0].shut(1006);
  assert.deepEqual([client.state, sockets.length], ["connecting", 2]);
});

test("a busy stream costs no ping", async () => {
  const { clock, last } = await connected();
  for (let n = 0; n < 100; n += 1) {
    await clock.advance(1_000);
    last().say({ type: "noise" });
  }
  assert.equal(last().of("ping").length, 1);
});

test("a machine that slept asks again before it takes the network for dead", async () => {
  const { client, clock, last } = await connected();
  await clock.advance(15_000);
  await clock.sleep(3_600_000);
  assert.deepEqual([client.state, last().of("ping").length], ["open", 3]);
  last().say({ type: "pong" });
  await clock.advance(8_000);
  assert.equal(client.state, "open");
});

test("a handshake that is not answered is given up, and the next address is tried", async () => {
  const { clock, sockets } = await connected({ url: ["ws://one", "ws://two"] });
  sockets[0].shut(1012, "restarting");
  await clock.advance(0);
  assert.match(sockets[1].url, /^ws:\/\/two\//);
  await clock.advance(10_000 + 250);
  assert.match(sockets[2].url, /^ws:\/\/one\//);
});

test("1012 of a server that was well is followed at once; of one that never answered, after a back-off", async () => {
  const { clock, sockets } = await connected();
  sockets[0].shut(1012, "restarting");
  await clock.advance(0);
  assert.equal(sockets.length, 2);
  sockets[1].shut(1012, "restarting");
  await clock.advance(124);
  assert.equal(sockets.length, 2);
  await clock.advance(126);
  assert.equal(sockets.length, 3);
});

test("lost networks are dialled with growing, jittered waits, and none after the server answered", async () => {
  const { clock, sockets, last } = await connected();
  const waits = [];
  for (const chance of [0, 1, 0, 1]) {
    clock.chance = chance;
    last().shut(1006);
    waits.push(clock.next);
    await clock.advance(clock.next);
  }
  assert.deepEqual(waits, [125, 500, 500, 2000]);
  last().accept();
  clock.chance = 0;
  last().shut(1006);
  assert.equal(clock.next, 125);
  assert.equal(sockets.length, 5);
});

test("1013 is followed later", async () => {
  const { clock, last } = await connected();
  clock.chance = 0;
  last().shut(1013, "overloaded");
  assert.equal(clock.next, 1000);
});

test("3003 is given up, with the server's words", async () => {
  const { client, states, last, sockets, clock } = await connected();
  const response = client.create({ model: "m" });
  last().say({ type: "error", status: 403, error: { message: "Not you." } });
  last().shut(3003, "forbidden");
  await assert.rejects(response.next(), (error) => error instanceof ForbiddenError && error.message === "Not you.");
  await clock.advance(60_000);
  assert.deepEqual([states.at(-1), sockets.length], ["closed", 1]);
  assert.throws(() => client.create({ model: "m" }), ForbiddenError);
});

test("a frame that is no JSON is a lost connection", async () => {
  const { client, last } = await connected();
  last().say("{");
  assert.equal(client.state, "waiting");
});

test("waking up reconnects at once, or asks whether anybody is there", async () => {
  const { client, last, sockets } = await connected();
  client.wake();
  assert.equal(last().of("ping").length, 2);
  last().shut(1006);
  client.wake();
  await settled();
  assert.equal(sockets.length, 2);
});

test("a page that is seen again wakes it, one whose network goes makes it doubt, until it is closed", async () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  globalThis.document = page;
  const [add, remove] = [globalThis.addEventListener, globalThis.removeEventListener];
  const scope = new EventTarget();
  globalThis.addEventListener = scope.addEventListener.bind(scope);
  globalThis.removeEventListener = scope.removeEventListener.bind(scope);
  try {
    const { client, last, sockets } = await connected({ watchPage: true });
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(last().of("ping").length, 1);
    scope.dispatchEvent(new Event("offline"));
    assert.equal(last().of("ping").length, 2);
    last().shut(1006);
    page.visibilityState = "visible";
    page.dispatchEvent(new Event("visibilitychange"));
    await settled();
    assert.equal(sockets.length, 2);
    last().shut(1006);
    scope.dispatchEvent(new Event("online"));
    await settled();
    assert.equal(sockets.length, 3);
    client.close();
    scope.dispatchEvent(new Event("online"));
    await settled();
    assert.equal(sockets.length, 3);
  } finally {
    delete globalThis.document;
    Object.assign(globalThis, { addEventListener: add, removeEventListener: remove });
  }
});

// ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A token callback that numbers what it gives. */
function tokens(answer = (token) => token) {
  const reasons = [];
  const token = ({ reason }) => {
    reasons.push(reason);
    return answer(`t${reasons.length}`);
  };
  return { token, reasons };
}

const refuse = (socket) => {
  socket.readyState = 1;
  socket.onopen();
  socket.say({ type: "error", status: 401, error: { code: "token_expired", message: "It expired." } });
  socket.shut(3000, "unauthorized");
};

test("a token goes as a subprotocol", async () => {
  const { last } = await connected({ token: "secret" });
  assert.deepEqual(last().protocols, ["andon.v1", "bearer.secret"]);
});

test("3000 gets a new token and reconnects; refused again, it gives up", async () => {
  const { token, reasons } = tokens();
  const { client, clock, sockets, last } = await connected({ token });
  const response = client.create({ model: "m" });
  last().shut(3000, "unauthorized");
  await clock.advance(0);
  assert.deepEqual(last().protocols, ["andon.v1", "bearer.t2"]);
  refuse(last());
  await assert.rejects(response.next(), (error) => error instanceof UnauthorizedError && error.message === "It expired.");
  assert.deepEqual([reasons, sockets.length, client.state], [["connect", "refused"], 2, "closed"]);
});

test("a token that was taken is refused anew another time, and that is no second refusal", async () => {
  const { token } = tokens();
  const { client, clock, last } = await connected({ token });
  for (let n = 0; n < 3; n += 1) {
    last().shut(3000, "unauthorized");
    await clock.advance(0);
    last().accept();
  }
  assert.equal(client.state, "open");
});

test("a token that is a mere text cannot be renewed: 3000 gives up at once", async () => {
  const { client, last } = await connected({ token: "secret" });
  last().shut(3000, "unauthorized");
  assert.equal(client.state, "closed");
});

test("a token callback that fails is asked again, after a back-off", async () => {
  let fails = true;
  const network = fakeNetwork();
  const clock = new FakeClock();
  const token = () => {
    if (fails) throw new Error("no network");
    return "t";
  };
  const client = new Client({ url: "ws://one", WebSocket: network.WebSocket, clock, token, watchPage: false }).connect();
  await clock.advance(100);
  assert.deepEqual([client.state, network.sockets.length], ["waiting", 0]);
  fails = false;
  await clock.advance(500);
  assert.equal(network.sockets.length, 1);
});

test("a token that no subprotocol can carry is told of, and not sent", async () => {
  const { WebSocket, sockets } = fakeNetwork();
  const client = new Client({ url: "ws://one", WebSocket, clock: new FakeClock(), token: "a b", watchPage: false });
  await assert.rejects(client.create({ model: "m" }).next(), /cannot be sent/);
  assert.equal(sockets.length, 0);
});

test("a token that expires is renewed on the open socket, and again when the server says so", async () => {
  const clock = new FakeClock();
  const { token, reasons } = tokens((one) => ({ token: one, expiresAt: clock.wall / 1000 + 100 }));
  const { last, sockets } = await connected({ token, clock });
  last().answersPings = true;
  await clock.advance(80_000 - 1);
  assert.deepEqual(reasons, ["connect"]);
  await clock.advance(1);
  const [frame] = last().of("auth.refresh");
  assert.equal(frame.token, "t2");
  last().say({ type: "auth.refreshed", event_id: frame.event_id, expires_at: clock.wall / 1000 + 10 });
  await clock.advance(8_000);
  assert.deepEqual(last().of("auth.refresh").map((one) => one.token), ["t2", "t3"]);
  assert.equal(sockets.length, 1);
});

test("a refresh that is refused is tried again", async () => {
  const clock = new FakeClock();
  const { token } = tokens((one) => ({ token: one, expiresAt: clock.wall / 1000 + 100 }));
  const { last } = await connected({ token, clock });
  last().answersPings = true;
  await clock.advance(80_000);
  const [{ event_id }] = last().of("auth.refresh");
  last().say({ type: "error", status: 401, event_id, error: { code: "invalid_token", message: "No." } });
  await clock.advance(5_000);
  assert.equal(last().of("auth.refresh").length, 2);
});

test("a JWT tells its expiry itself; one that lasts is used again, one that is about to expire is not", async () => {
  const clock = new FakeClock();
  const jwt = (seconds) => {
    const claims = { iat: clock.wall / 1000, exp: clock.wall / 1000 + seconds };
    return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;
  };
  const { token, reasons } = tokens(() => jwt(3600));
  const { sockets, last } = await connected({ token, clock });
  last().shut(1012);
  await clock.advance(0);
  assert.deepEqual([sockets.length, reasons], [2, ["connect"]]);
  last().shut(1006);
  await clock.sleep(3_545_000);
  assert.deepEqual(reasons, ["connect", "connect"]);
});

test("without a WebSocket it says what to give", () => {
  assert.throws(() => new Client({ url: "ws://one", WebSocket: null }), /give one/);
});

test("events of a lost socket's last moments do not reach the next", async () => {
  const { client, clock, sockets, last } = await connected();
  const response = client.create({ model: "m" });
  const lane = last().of("response.create")[0].stream_id;
  const events = eventsOf("resp_1", 2, { lane });
  last().say(events[0]);
  last().shut(1006);
  await clock.advance(1000);
  sockets[0].say(events[1]);
  assert.equal(response.lastSequenceNumber, 0);
});
