// The transport under the real `ai` package, 6 or 7 (TEST_AI), against two gateways: stop and resume at the same time.
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";

import { AndonChatTransport } from "../../clients/js/ai-sdk.js";
import { chatOf, textOf } from "./chat.js";
import { ask, leave, network, newSession } from "./control.js";
import { TIMINGS } from "./reading.js";

const Chat = chatOf(await import(process.env.TEST_AI));

after(leave);
afterEach(async () => {
  for (const gateway of [0, 1]) await network(gateway, "heal");
});

const LONG = { tokens: 2000, rate: 100 };

/** One page: a transport, and the chat on it. What its stops led to is in `stopped`. */
async function page(t, { id, body, gateway, messages, ...options }) {
  const all = await ask("where");
  const heard = [];
  const stopped = heard.values();
  let tell = () => {};
  const transport = new AndonChatTransport({
    url: gateway === undefined ? all : all[gateway],
    timings: TIMINGS,
    create: { model: body.model, metadata: body.metadata },
    onStopped: (stop) => {
      heard.push(stop);
      tell();
    },
    ...options,
  });
  t.after(() => transport.close());
  const errors = [];
  const finishes = [];
  const chat = new Chat({ id, messages, transport, onError: (error) => errors.push(error), onFinish: (finish) => finishes.push(finish) });
  const stop = async () => {
    while (heard.length === 0) await new Promise((resolve) => (tell = resolve));
    return stopped.next().value;
  };
  return { chat, transport, errors, finishes, stop };
}

/** Wait until the chat's last message, the answer at this place, has so many characters of text. */
async function grown(chat, chars, place = 1) {
  while (chat.messages.length !== place + 1 || textOf(chat.messages[place]).length < chars) {
    await new Promise((resolve) => setTimeout(resolve, 5)); // between two looks: this state tells nobody
  }
}

const asks = (body) => ({ text: body.input });
const newChat = async (members) => ({ id: newSession(), ...(await ask("prompt", members)) });

test("a message is answered, and named for its response", async (t) => {
  const { id, body, text } = await newChat();
  const { chat, errors, finishes } = await page(t, { id, body, messageMetadata: ({ status, usage }) => ({ status, usage }) });
  await chat.sendMessage(asks(body));
  assert.deepEqual(errors, []);
  const [asked, answer] = chat.messages;
  assert.deepEqual([asked.role, answer.role, chat.status], ["user", "assistant", "ready"]);
  assert.equal(textOf(answer), text);
  assert.match(answer.id, /^resp_/);
  assert.equal(answer.metadata.status, "completed");
  assert.equal(answer.metadata.usage.output_tokens, 40);
  assert.deepEqual([finishes[0].finishReason, finishes[0].isAbort], ["stop", false]);
});

test("reasoning and tool calls arrive as parts", async (t) => {
  for (const [model, types] of [["sim-reasoning", ["step-start", "reasoning", "reasoning", "text"]], ["sim-tools", ["step-start", "tool-get_weather", "tool-get_time"]]]) {
    const { id, body } = await newChat({ model });
    const { chat, errors, finishes } = await page(t, { id, body });
    await chat.sendMessage(asks(body));
    assert.deepEqual(errors, []);
    assert.deepEqual(chat.lastMessage.parts.map((part) => part.type), types);
    assert.deepEqual(chat.lastMessage.parts.flatMap((part) => part.state ?? []), types.slice(1).map((type) => (type.startsWith("tool") ? "input-available" : "done")));
    assert.equal(finishes[0].finishReason, model === "sim-tools" ? "tool-calls" : "stop");
  }
});

test("stop, then another message; then reload and resume; then stop the resumed stream", async (t) => {
  const first = await newChat(LONG);
  const one = await page(t, { ...first, gateway: 0 });

  // Stop.
  const sending = one.chat.sendMessage(asks(first.body));
  await grown(one.chat, 100);
  await one.chat.stop();
  await sending;
  const cut = await one.stop();
  assert.deepEqual([cut.chatId, cut.response.status, one.chat.status], [first.id, "cancelled", "ready"]);
  assert.ok(cut.times.upstream_closed);
  assert.ok((await ask("asked", { key: first.key })).closed);
  assert.ok(first.text.startsWith(textOf(one.chat.lastMessage)));
  assert.ok(one.finishes[0].isAbort);

  // Another message in the same conversation; the page is left in its middle. That is no stop.
  const second = await ask("prompt", LONG);
  void one.chat.sendMessage(asks(second.body), { body: { metadata: second.body.metadata } });
  await grown(one.chat, 100, 3);
  const kept = structuredClone(one.chat.messages);
  one.transport.close();

  // Reload, at the other gateway, with the partial answer that the page had kept: it comes whole, and goes on.
  const two = await page(t, { ...first, gateway: 1, messages: kept });
  const resuming = two.chat.resumeStream();
  const had = textOf(kept.at(-1)).length;
  await grown(two.chat, had + 100, 3);
  assert.deepEqual(two.chat.messages.map((message) => message.role), ["user", "assistant", "user", "assistant"]);
  assert.equal(two.chat.lastMessage.id, kept.at(-1).id);
  assert.equal(two.chat.status, "streaming");

  // Stop the resumed stream.
  await two.chat.stop();
  await resuming;
  const { response } = await two.stop();
  assert.deepEqual([response.id, response.status], [kept.at(-1).id, "cancelled"]);
  assert.deepEqual(await ask("asked", { key: second.key }), { requests: 1, closed: true });
  assert.deepEqual(two.errors, []);

  // Nothing is live any more: a further reload finds nothing to resume.
  const three = await page(t, { ...first, messages: two.chat.messages });
  await three.chat.resumeStream();
  assert.deepEqual([three.chat.status, three.chat.messages.length], ["ready", 4]);
});

test("a resume that a second one supersedes stops nothing", async (t) => {
  const { id, key, body, text } = await newChat({ tokens: 150, rate: 100 });
  const one = await page(t, { id, body });
  void one.chat.sendMessage(asks(body));
  await grown(one.chat, 50);
  const kept = structuredClone(one.chat.messages);
  one.transport.close();
  const two = await page(t, { id, body, messages: kept.slice(0, 1) });
  const first = two.chat.resumeStream();
  await grown(two.chat, 100);
  const second = two.chat.resumeStream();
  const third = two.chat.resumeStream();
  await Promise.all([first, second, third]);
  assert.equal(textOf(two.chat.lastMessage), text);
  assert.equal(two.chat.messages.length, 2);
  assert.deepEqual(two.errors, []);
  assert.deepEqual(await ask("asked", { key }), { requests: 1, closed: false });
});

test("a stop while a resume is still being asked for stops", async (t) => {
  const { id, key, body } = await newChat(LONG);
  const one = await page(t, { id, body });
  void one.chat.sendMessage(asks(body));
  await grown(one.chat, 50);
  one.transport.close();
  const two = await page(t, { id, body });
  const resuming = two.chat.resumeStream();
  await two.chat.stop();
  await resuming;
  assert.equal((await two.stop()).response.status, "cancelled");
  assert.ok((await ask("asked", { key })).closed);
});

test("a stop does not wait for a network that is away, and takes effect once it is back", async (t) => {
  const { id, key, body } = await newChat(LONG);
  const one = await page(t, { id, body });
  void one.chat.sendMessage(asks(body));
  await grown(one.chat, 50);
  one.transport.close();
  await Promise.all([network(0, "refuse"), network(1, "refuse")]);
  const two = await page(t, { id, body });
  const resuming = two.chat.resumeStream();
  await two.chat.stop();
  await resuming;
  assert.equal(two.chat.status, "ready");
  await Promise.all([network(0, "heal"), network(1, "heal")]);
  assert.equal((await two.stop()).response.status, "cancelled");
  assert.ok((await ask("asked", { key })).closed);
});

test("a stop from elsewhere ends the message as interrupted, with what it had", async (t) => {
  const { id, body, text } = await newChat(LONG);
  const [one, two] = [await page(t, { id, body, gateway: 0 }), await page(t, { id, body, gateway: 1 })];
  const sending = one.chat.sendMessage(asks(body));
  await grown(one.chat, 50);
  const resuming = two.chat.resumeStream();
  await grown(two.chat, 50, 0);
  await two.chat.stop();
  await Promise.all([sending, resuming]);
  assert.ok(text.startsWith(textOf(one.chat.lastMessage)));
  assert.deepEqual([one.chat.status, one.finishes[0].finishReason, one.finishes[0].isAbort], ["ready", "interrupted", false]);
  assert.deepEqual(one.chat.lastMessage.parts.map((part) => part.state).filter(Boolean), ["done"]);
});

test("a lost network in the middle is not seen", async (t) => {
  const { id, body, text } = await newChat({ tokens: 150, rate: 100 });
  const { chat, errors } = await page(t, { id, body });
  const sending = chat.sendMessage(asks(body));
  for (const chars of [100, 300]) {
    await grown(chat, chars);
    await Promise.all([network(0, "cut"), network(1, "cut")]);
  }
  await sending;
  assert.deepEqual(errors, []);
  assert.equal(textOf(chat.lastMessage), text);
});

test("regenerating answers anew, and a failure is the chat's error", async (t) => {
  const { id, body, text } = await newChat();
  const { chat, errors } = await page(t, { id, body });
  await chat.sendMessage(asks(body));
  const { id: before } = chat.lastMessage;
  await chat.regenerate();
  assert.equal(chat.messages.length, 2);
  assert.notEqual(chat.lastMessage.id, before);
  assert.equal(textOf(chat.lastMessage), text);
  await chat.sendMessage({ text: "and now?" }, { body: { temperature: "hot" } });
  assert.equal(chat.status, "error");
  assert.match(errors[0].message, /temperature/);
});

test("disposing of a chat stops it (ai 7), also one that was resumed", { skip: process.env.TEST_AI !== "ai7" }, async (t) => {
  const { id, key, body } = await newChat(LONG);
  const one = await page(t, { id, body });
  void one.chat.sendMessage(asks(body));
  await grown(one.chat, 50);
  one.transport.close();
  const two = await page(t, { id, body });
  void two.chat.resumeStream();
  await grown(two.chat, 50, 0);
  await two.chat.dispose();
  assert.equal((await two.stop()).response.status, "cancelled");
  assert.ok((await ask("asked", { key })).closed);
});
