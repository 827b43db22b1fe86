// The client against a server that does what the test says: for codes that a real gateway seldom sends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { WebSocketServer } from "ws";

import { Client, ForbiddenError, RequestError, UnauthorizedError } from "../../clients/js/index.js";
import { rest, TIMINGS } from "./reading.js";

/**
 * Serve: each socket is handed to the script of its turn, the last one to all that follow. A script gets the socket, and
 * the frames that come, one by one; pings are answered by themselves once it has called `welcome`.
 */
async function serve(t, ...scripts) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: (offered) => (offered.has("andon.v1") ? "andon.v1" : false) });
  await once(server, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  const tokens = [];
  const failures = [];
  server.on("connection", (socket, request) => {
    const offered = request.headers["sec-websocket-protocol"]?.split(", ") ?? [];
    tokens.push(offered.find((one) => one.startsWith("bearer."))?.slice("bearer.".length) ?? null);
    const waiting = [];
    const frames = [];
    let isWelcome = false;
    const pings = [];
    const pong = ({ event_id }) => say({ type: "pong", event_id });
    socket.on("message", (data) => {
      const frame = JSON.parse(data);
      if (frame.type === "ping") return isWelcome ? pong(frame) : pings.push(frame);
      const reader = waiting.shift();
      return reader ? reader(frame) : frames.push(frame);
    });
    const say = (event) => socket.send(JSON.stringify(event));
    const peer = {
      say,
      welcome: () => {
        isWelcome = true;
        pings.splice(0).forEach(pong);
      },
      next: () => (frames.length ? Promise.resolve(frames.shift()) : new Promise((resolve) => waiting.push(resolve))),
      close: (code, reason) => socket.close(code, reason),
    };
    const script = scripts.length > 1 ? scripts.shift() : scripts[0];
    Promise.resolve(script(peer)).catch((error) => failures.push(error));
  });
  t.after(() => assert.deepEqual(failures, []));
  return { url: `ws://127.0.0.1:${server.address().port}`, tokens };
}

const created = (id, lane) => ({ type: "response.created", sequence_number: 0, response_id: id, stream_id: lane, response: { id } });
const completed = (id, number) => ({ type: "response.completed", sequence_number: number, response_id: id, response: { id, status: "completed" } });

/** Answer whatever is created with a short response. */
async function answer(peer) {
  peer.welcome();
  for (;;) {
    const frame = await peer.next();
    if (frame.type !== "response.create") continue;
    peer.say(created("resp_1", frame.stream_id));
    peer.say(completed("resp_1", 1));
  }
}

/** Close once something was created. */
const closing = (code, reason) => async (peer) => {
  peer.welcome();
  await peer.next();
  peer.close(code, reason);
};

/** As a server does with a token that it does not take. */
function refuse(peer) {
  peer.say({ type: "error", status: 401, error: { type: "authentication_error", code: "invalid_token", message: "The token expired." } });
  peer.close(3000, "unauthorized");
}

function client(t, url, options = {}) {
  const made = new Client({ url, timings: TIMINGS, ...options });
  t.after(() => made.close());
  return made;
}

for (const [code, reason] of [[1001, "going_away"], [1011, "internal"], [1012, "restarting"], [1013, "overloaded"], [3008, "too_slow"]]) {
  test(`after ${code} it comes back, and says again what was not answered`, async (t) => {
    const { url, tokens } = await serve(t, closing(code, reason), answer);
    const events = await rest(client(t, url).create({ model: "m", input: "hi" }));
    assert.deepEqual(events.map((event) => event.type), ["response.created", "response.completed"]);
    assert.equal(tokens.length, 2);
  });
}

test("3000 gets a new token, and goes on with it", async (t) => {
  const reasons = [];
  const token = ({ reason }) => {
    reasons.push(reason);
    return `token-${reasons.length}`;
  };
  const { url, tokens } = await serve(t, refuse, closing(3000, "unauthorized"), answer);
  const events = await rest(client(t, url, { token }).create({ model: "m", input: "hi" }));
  assert.equal(events.length, 2);
  assert.deepEqual([tokens, reasons], [["token-1", "token-2", "token-3"], ["connect", "refused", "refused"]]);
});

test("3000 to the new token as well is given up, with the server's words", async (t) => {
  const { url, tokens } = await serve(t, refuse);
  const response = client(t, url, { token: () => "stale" }).create({ model: "m", input: "hi" });
  await assert.rejects(rest(response), (error) => error instanceof UnauthorizedError && error.message === "The token expired.");
  assert.equal(tokens.length, 2);
});

test("3003 is given up", async (t) => {
  const { url, tokens } = await serve(t, closing(3003, "forbidden"));
  await assert.rejects(rest(client(t, url).create({ model: "m", input: "hi" })), ForbiddenError);
  assert.equal(tokens.length, 1);
});

test("1009 is the end of what was too big, not of the client", async (t) => {
  const { url } = await serve(t, closing(1009, "frame_too_big"), answer);
  const one = client(t, url);
  await assert.rejects(rest(one.create({ model: "m", input: "x".repeat(1000) })), (error) => {
    return error instanceof RequestError && error.code === "frame_too_big";
  });
  assert.equal((await rest(one.create({ model: "m", input: "hi" }))).length, 2);
});

test("a token is renewed on the open socket before it expires", async (t) => {
  let given = 0;
  const token = () => ({ token: `token-${(given += 1)}`, expiresAt: Date.now() / 1000 + (given === 1 ? 2 : 3600) });
  const { url, tokens } = await serve(t, async (peer) => {
    peer.welcome();
    const create = await peer.next();
    peer.say(created("resp_1", create.stream_id));
    const refresh = await peer.next();
    assert.deepEqual([refresh.type, refresh.token], ["auth.refresh", "token-2"]);
    peer.say({ type: "auth.refreshed", event_id: refresh.event_id, expires_at: Date.now() / 1000 + 3600 });
    peer.say(completed("resp_1", 1));
  });
  assert.equal((await rest(client(t, url, { token }).create({ model: "m", input: "hi" }))).length, 2);
  assert.deepEqual(tokens, ["token-1"]);
});
