// Control: what a test asks of the stack that pytest runs for it (control.py), and a client of its gateways.
import { strict as assert } from "node:assert";
import net from "node:net";
import { createInterface } from "node:readline";

import { Client } from "../../clients/js/index.js";
import { TIMINGS } from "./reading.js";

const socket = net.connect(Number(process.env.TEST_CONTROL), "127.0.0.1");
const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
let turn = Promise.resolve();

/** Ask the stack; rejects with what went wrong there. */
export function ask(command, members = {}) {
  const asking = turn.then(async () => {
    socket.write(`${JSON.stringify({ do: command, with: members })}\n`);
    const { value, done } = await lines.next();
    assert.ok(!done, "the stack has gone");
    const { answer, error } = JSON.parse(value);
    assert.equal(error, undefined, error);
    return answer;
  });
  turn = asking.catch(() => {});
  return asking;
}

export const network = (gateway, mode, members = {}) => ask("network", { gateway, mode, ...members });

/** Let go of the stack: nothing else keeps this process alive. */
export const leave = () => socket.end();

export const newSession = () => `js-${crypto.randomUUID()}`;

/** Make a client of all gateways, or of those given by number; it is closed when the test ends. */
export async function open(t, { gateways, ...options } = {}) {
  const all = await ask("where");
  const url = gateways === undefined ? all : gateways.map((gateway) => all[gateway]);
  const client = new Client({ url, session: newSession(), timings: TIMINGS, ...options });
  t.after(() => client.close());
  return client;
}
