/**
 * The chat page: one session, its turns, the message box and the stop.
 *
 * Nothing here knows how a stop or a resume works: that is the client's (`clients/js`), the very file that others use.
 */
import { Client } from "/assets/client/index.js";
import { Memory } from "./memory.js";
import { Turn } from "./turn.js";

// How often a page that is looked at asks what other windows have started in its session.
const LOOK_MS = 1500;
const ASKED_CHARS = 512; // the most that a metadata value may have
const STATES = { idle: "Not connected", connecting: "Connecting", open: "Connected", waiting: "Reconnecting", closed: "Closed" };

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const transcript = element("transcript");
const prompt = element("prompt");
const model = element("model");
const stopButton = element("stop");
const sendButton = element("send");

const session = sessionOfPage();
const memory = new Memory(session);
const client = new Client({ session });
/** @type {Map<string, Turn>} By response id. */
const turns = new Map();
/** @type {Turn | null} The one that is live here. */
let live = null;
/** @type {string | null} The last response that a next one may go on from. */
let last = null;

function sessionOfPage() {
  const asked = new URLSearchParams(location.search);
  const name = asked.get("session") ?? newEventId();
  if (!asked.has("session")) {
    asked.set("session", name);
    history.replaceState(null, "", `?${asked}`);
  }
  return name;
}

/** Not `randomUUID`, which a page has only over TLS or on loopback. */
function newEventId() {
  return `chat-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
}

// ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {string} asked */
function addTurn(asked) {
  const isAtEnd = isScrolledToEnd();
  element("hint").hidden = true;
  const turn = new Turn({ asked, onShown: () => isScrolledToEnd(160) && scrollToEnd() });
  transcript.append(turn.element);
  if (isAtEnd) scrollToEnd();
  return turn;
}

/**
 * @param {Turn} turn
 * @param {import("/assets/client/index.js").ResponseStream} stream
 * @param {import("./memory.js").Kept} kept
 */
async function follow(turn, stream, kept) {
  live = turn;
  showControls();
  announce("Answering");
  stream.created.then(
    (id) => {
      turns.set(id, turn);
      kept.id = id;
      memory.keep();
    },
    () => {},
  );
  await turn.follow(stream);
  if (turn.response !== null) {
    const { output, ...response } = turn.response;
    Object.assign(kept, { asked: turn.asked, text: turn.text, response });
    memory.keep();
    if (response.status !== "failed") last = stream.id;
  }
  if (live === turn) live = null;
  showControls();
  announce(turn.element.querySelector(".outcome")?.textContent ?? "");
}

/** @param {string} asked */
function send(asked) {
  const kept = { id: null, eventId: newEventId(), asked, text: "", response: null };
  memory.add(kept);
  void follow(addTurn(asked), create(kept), kept);
}

/** @param {import("./memory.js").Kept} kept */
function create({ asked, eventId }) {
  const before = last === null ? {} : { previous_response_id: last };
  // The metadata tells other windows what was asked: an answer does not repeat its question.
  const body = { model: model.value, input: asked, metadata: { asked: asked.slice(0, ASKED_CHARS) }, ...before };
  return client.create(body, { eventId });
}

function recall() {
  for (const kept of memory.turns) {
    const turn = addTurn(kept.asked);
    if (kept.id !== null) turns.set(kept.id, turn);
    if (kept.response !== null) {
      turn.recall(kept.text, kept.response);
      if (kept.response.status !== "failed") last = kept.id;
    } else if (kept.id !== null) {
      void follow(turn, client.retrieve(kept.id), kept);
    } else {
      // The page was left before the answer to its create came: the same create again is the same response.
      void follow(turn, create(kept), kept);
    }
  }
}

/** Take up what other windows have started in this session. */
async function look() {
  // Not while a create of ours waits for its id: it would be taken for another window's.
  if (document.hidden || client.state !== "open" || live?.stream?.id === null) return;
  for (const stream of await client.resume()) {
    if (stream.id === null || turns.has(stream.id)) continue;
    const kept = { id: stream.id, eventId: "", asked: "", text: "", response: null };
    memory.add(kept);
    const turn = addTurn("");
    turns.set(stream.id, turn);
    void follow(turn, stream, kept);
  }
}

async function stop() {
  if (live === null || !live.isLive) return;
  const stream = live.stream;
  live.stopping();
  stopButton.disabled = true;
  try {
    await stream?.stop({ reason: "user" });
  } catch (error) {
    announce(error instanceof Error ? error.message : String(error));
  } finally {
    stopButton.disabled = false;
  }
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────

function showControls() {
  const isLive = live !== null;
  const hadFocus = document.activeElement === (isLive ? sendButton : stopButton);
  stopButton.hidden = !isLive;
  sendButton.hidden = isLive;
  if (hadFocus) (isLive ? stopButton : prompt).focus();
}

/** @param {string} words */
function announce(words) {
  element("announcer").textContent = words;
}

function isScrolledToEnd(within = 32) {
  return transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight <= within;
}

function scrollToEnd() {
  transcript.scrollTop = transcript.scrollHeight;
}

/** @param {string} state */
function showState(state) {
  const shown = element("connection");
  shown.dataset.state = state;
  const words = STATES[/** @type {keyof typeof STATES} */ (state)] ?? state;
  shown.textContent = state === "open" ? `${words} to ${location.host}` : words;
}

async function showSurroundings() {
  const page = await (await fetch("/page.json")).json();
  model.value = new URLSearchParams(location.search).get("model") ?? page.model;
  // By the port: `localhost` and `127.0.0.1` are one host of two names.
  const isOther = (/** @type {URL} */ url) => url.host !== location.host && url.port !== location.port;
  const other = page.replicas.find((/** @type {string} */ url) => isOther(new URL(url)));
  if (other !== undefined) {
    const link = element("other-replica");
    link.href = `${other}/?session=${encodeURIComponent(session)}`;
    link.textContent = `Open on ${new URL(other).host}`;
    link.hidden = false;
  }
}

element("composer").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const asked = prompt.value.trim();
  if (asked === "" || live !== null) return;
  prompt.value = "";
  send(asked);
});
prompt.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("composer").requestSubmit();
});
stopButton.addEventListener("click", stop);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") void stop();
});
client.onState(showState);
await showSurroundings();
client.connect();
showState(client.state);
showControls();
recall();
setInterval(() => look().catch((error) => announce(error.message)), LOOK_MS);
client.onState((state) => state === "open" && look().catch(() => {}));
prompt.focus();
