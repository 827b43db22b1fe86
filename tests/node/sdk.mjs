// Sdk: npm's `openai`, unchanged, as a client of two replicas. One scenario a run; test_official_sdk.py has what it shows.
//
// Arguments: the scenario, the two base URLs, the body of a create. Prints JSON lines, each with its `kind`.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const [scenario, firstBase, secondBase, json] = process.argv.slice(2);
const body = JSON.parse(json);
// Its default of two retries would hide an answer that it takes for a failure.
const [first, second] = [firstBase, secondBase].map((baseURL) => new OpenAI({ baseURL, apiKey: "x", maxRetries: 0 }));

const say = (kind, words = {}) => console.log(JSON.stringify({ kind, ...words }));
const isDelta = (event) => event.type === "response.output_text.delta";

// Read a stream until this many deltas have come, or to its end.
async function read(stream, deltas = Infinity) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (isDelta(event) && --deltas <= 0) break;
  }
  return events;
}

// Follow a socket until it closes. `onEvent` may send; an `error` without a listener would end the process.
function follow(socket, onEvent) {
  return new Promise((resolve) => {
    const events = [];
    const errors = [];
    socket.on("event", (event) => {
      events.push(event);
      onEvent(event, events);
    });
    socket.on("error", (error) => errors.push(error.message));
    socket.on("close", (code, reason) => resolve({ events, errors, code, reason }));
  });
}

// Wait for a word from the test: a process that ends closes its connections, whatever the SDK did.
const told = () => new Promise((resolve) => process.stdin.once("data", resolve).once("end", resolve));

const scenarios = {
  async create() {
    const response = await first.responses.create(body);
    say("response", { response, text: response.output_text });
    say("retrieved", { response: await second.responses.retrieve(response.id) });
  },

  async stream() {
    say("events", { events: await read(await first.responses.create({ ...body, stream: true })) });
  },

  async helper() {
    const response = await first.responses.stream(body).finalResponse();
    say("response", { response, text: response.output_text });
  },

  async abort() {
    const controller = new AbortController();
    const stream = await first.responses.create({ ...body, stream: true }, { signal: controller.signal });
    const events = [];
    for await (const event of stream) {
      events.push(event);
      if (events.filter(isDelta).length === 3) controller.abort();
    }
    say("aborted", { id: events[0].response.id });
    await told();
  },

  async leave() {
    const events = await read(await first.responses.create({ ...body, stream: true }), 3); // by a bare `break`
    say("left", { id: events[0].response.id });
    await told();
  },

  async resume() {
    const { id, status } = await first.responses.create({ ...body, background: true });
    say("created", { status });
    const before = await read(await second.responses.retrieve(id, { stream: true }), 3);
    const starting_after = before.at(-1).sequence_number;
    const after = await read(await first.responses.retrieve(id, { stream: true, starting_after }));
    say("events", { events: [...before, ...after] });
  },

  async cancel() {
    const { id } = await first.responses.create({ ...body, background: true });
    await read(await second.responses.retrieve(id, { stream: true }), 3);
    const live = await second.responses.retrieve(id);
    const cancelled = await second.responses.cancel(id);
    const again = await first.responses.cancel(id);
    say("cancelled", { live, cancelled, again });
  },

  async unknown() {
    const refusals = [];
    for (const method of ["retrieve", "cancel"]) {
      await first.responses[method]("resp_123").catch(({ status, code }) => refusals.push({ method, status, code }));
    }
    say("refused", { refusals });
  },

  async socket() {
    const socket = new ResponsesWS(first);
    const following = follow(socket, (event) => {
      if (event.type === "response.completed") socket.close();
    });
    socket.send({ type: "response.create", ...body });
    say("closed", await following);
  },

  async socket_cancel() {
    const socket = new ResponsesWS(first);
    const following = follow(socket, (event, events) => {
      if (isDelta(event) && events.filter(isDelta).length === 3) {
        socket.send({ type: "response.cancel", response_id: events[0].response.id });
      }
    });
    socket.send({ type: "response.create", ...body });
    say("closed", await following);
  },

  async socket_resume() {
    const socket = new ResponsesWS(first);
    const left = follow(socket, (event, events) => {
      if (isDelta(event) && events.filter(isDelta).length === 3) socket.close();
    });
    socket.send({ type: "response.create", ...body });
    const before = (await left).events.slice(0, -1); // the last one as if it had been lost
    const other = new ResponsesWS(second);
    const following = follow(other, (event) => {
      if (event.type === "response.completed") other.close();
    });
    const { response: { id } } = before[0];
    other.send({ type: "response.retrieve", response_id: id, starting_after: before.at(-1).sequence_number });
    say("events", { events: [...before, ...(await following).events] });
  },
};

await scenarios[scenario]();
process.stdin.destroy();
