"""The `chat` upstream: Chat Completions chunks in, the Responses events they amount to out.

Owns the chunk's shape and what its parts mean: text, refusal, reasoning (`reasoning_content` or `reasoning`, as the
local servers send it), parallel tool calls, finish reasons, usage. Does not own the events' shape (`chat_output`) or
the request (`chat_request`).

One message, one reasoning item and one item a tool call, in the order of their first fragment; text that goes on
after a tool call goes on in the same message. The `.done` events come together with the Finish, in one list, so that
nothing that was stopped looks done.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from andon.pieces import Cause, Failure, Finish, Piece
from andon.tracing import Attribute, here
from worker.upstream.chat_output import CallItem, ContentItem, ItemStatus, PartKind
from worker.upstream.failures import complaint_failure, cut_failure, failed, garbage_failure
from worker.upstream.sse import SseEvent
from worker.upstream.translator import TranslatorContext
from worker.upstream.usage import chat_usage

_DONE = b"[DONE]"

# A finish reason that is not here (`eos_token`, ...) is a server's own word for a natural end.
_INCOMPLETE_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAILED_REASONS = frozenset({"error", "abort"})  # OpenRouter's and vLLM's words for a generation that broke

Logprobs: TypeAlias = list[dict[str, Any]]


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _ChoiceDelta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _ChoiceDelta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    model: str | None = None
    service_tier: str | None = None
    object: str | None = None
    message: Any = None
    code: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class _PendingCall:
    """A tool call's fragments; its item exists once the name has come."""

    def __init__(self, upstream_id: str | None) -> None:
        self.upstream_id = upstream_id
        self.held = ""  # arguments that came before the name
        self.item: CallItem | None = None


class ChatTranslator:
    """Translates one Chat Completions stream. Meets `translator.Translator`."""

    def __init__(self, context: TranslatorContext | None = None) -> None:
        self._context = context or TranslatorContext()
        # Whether the Finish was given.
        self.finished = False
        self._items: list[ContentItem | CallItem] = []  # by output_index
        self._message: ContentItem | None = None
        self._reasoning: ContentItem | None = None
        self._calls: dict[int, _PendingCall] = {}  # the present call by its `index`
        self._nameless = 0  # calls whose name has not come
        self._last_call: int | None = None  # the index of the fragment that came last
        self._finish_reason: str | None = None
        self._usage: Any = None  # the latest seen, as the upstream has it: mapped only when asked for
        self._is_named = False  # the call's span was told what the provider calls this response
        self._response: dict[str, Any] = {}  # what the chunks say of the response: model, service_tier

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The latest usage; before the end only from a server with `continuous_usage_stats`."""
        return chat_usage(self._usage)

    def feed(self, event: SseEvent) -> list[Piece]:
        """Take one event and return its pieces. Never raises."""
        if self.finished:
            return []
        if event.data.strip() == _DONE:
            return self.eof()
        try:
            chunk = _decode_chunk(event.data)
        except msgspec.ValidationError:
            return self._fail(garbage_failure("a chunk has the wrong shape"))
        except msgspec.DecodeError:
            return self._fail(garbage_failure("a chunk is not JSON"))
        return self._take_chunk(chunk, event)

    def eof(self) -> list[Piece]:
        """Take the end of the stream, or its `[DONE]`: some servers leave out the one, some the other."""
        if self.finished:
            return []
        if self._finish_reason is None:
            return self._fail(cut_failure())
        if self._finish_reason in _FAILED_REASONS:
            message = f"The model server ended the stream with finish_reason {self._finish_reason!r}. Try again."
            return self._fail(Failure("server_error", Cause.UPSTREAM_ERROR, message))
        if self._nameless:
            return self._fail(garbage_failure("a tool call has no name"))
        return self._complete(_INCOMPLETE_REASONS.get(self._finish_reason))

    def _take_chunk(self, chunk: _Chunk, event: SseEvent) -> list[Piece]:
        failure = self._read_failure(chunk, event)
        if failure is not None:
            return self._fail(failure)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not self._is_named and isinstance(chunk.id, str):
            self._is_named = True
            here().set({Attribute.GEN_AI_RESPONSE_ID: chunk.id})
        if chunk.model:
            self._response["model"] = chunk.model
        if chunk.service_tier:
            self._response["service_tier"] = chunk.service_tier
        pieces: list[Piece] = []
        for choice in chunk.choices or ():
            if choice.index != 0:
                continue  # only one choice is ever asked for
            if choice.delta is not None:
                self._take_delta(choice.delta, choice.logprobs, pieces)
            if choice.finish_reason is not None:
                self._finish_reason = choice.finish_reason
        return pieces

    def _read_failure(self, chunk: _Chunk, event: SseEvent) -> Failure | None:
        if chunk.error is not None:
            return complaint_failure(chunk.error, self._context.redact)
        if chunk.object == "error" or event.event == "error":  # flat, as older vLLM has it
            return complaint_failure({"message": chunk.message, "code": chunk.code}, self._context.redact)
        if chunk.choices is None and chunk.usage is None:
            return garbage_failure("a chunk has no choices")
        return None

    def _take_delta(self, delta: _ChoiceDelta, logprobs: Any, pieces: list[Piece]) -> None:
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            if self._reasoning is None:
                self._reasoning = self._open("reasoning", pieces)
            pieces += self._reasoning.grow("reasoning_text", reasoning, [])
        if delta.content:
            self._grow_message("output_text", delta.content, _read_logprobs(logprobs), pieces)
        if delta.refusal:
            self._grow_message("refusal", delta.refusal, [], pieces)
        for fragment in delta.tool_calls or ():
            self._take_fragment(fragment, pieces)

    def _grow_message(self, kind: PartKind, text: str, logprobs: Logprobs, pieces: list[Piece]) -> None:
        if self._message is None:
            self._message = self._open("message", pieces)
        pieces += self._message.grow(kind, text, logprobs)

    def _open(self, kind: Literal["message", "reasoning"], pieces: list[Piece]) -> ContentItem:
        item_id = self._context.new_id("msg" if kind == "message" else "rs")
        item = ContentItem(kind, item_id, len(self._items))
        self._items.append(item)
        pieces.append(item.added())
        return item

    def _take_fragment(self, fragment: _ToolCall, pieces: list[Piece]) -> None:
        function = fragment.function or _Function()
        call = self._find_call(fragment, function)
        if call.item is None and function.name:
            call_id = call.upstream_id or fragment.id or self._context.new_id("call")
            call.item = CallItem(self._context.new_id("fc"), call_id, function.name, len(self._items))
            self._items.append(call.item)
            self._nameless -= 1
            pieces.append(call.item.added())
            if call.held:
                pieces += call.item.grow(call.held)
                call.held = ""
        if function.arguments:
            if call.item is None:
                call.held += function.arguments
            else:
                pieces += call.item.grow(function.arguments)

    def _find_call(self, fragment: _ToolCall, function: _Function) -> _PendingCall:
        """Return the call a fragment belongs to, a new one where it starts one.

        Some servers leave the index out, some give every parallel call the index 0: a new id with a name starts a
        new call all the same.
        """
        index = fragment.index
        if index is None:
            starts = bool(function.name and fragment.id) or self._last_call is None
            index = len(self._calls) if starts else self._last_call or 0
        call = self._calls.get(index)
        renewed = call is not None and function.name and fragment.id and fragment.id != call.upstream_id
        if call is None or (renewed and call.item is not None):
            call = self._calls[index] = _PendingCall(fragment.id)
            self._nameless += 1
        self._last_call = index
        return call

    def _complete(self, incomplete_reason: str | None) -> list[Piece]:
        pieces: list[Piece] = []
        output = []
        for position, item in enumerate(self._items):
            # Only the item that was being written can have been cut short.
            last = position == len(self._items) - 1
            status: ItemStatus = "incomplete" if incomplete_reason and last else "completed"
            pieces += item.done(status)
            output.append(item.whole(status))
        response = {**self._response, "output": output}
        if incomplete_reason is None:
            return self._finish(pieces, Finish("completed", response, self.usage_so_far))
        finish = Finish("incomplete", response, self.usage_so_far, incomplete_reason=incomplete_reason)
        return self._finish(pieces, finish)

    def _fail(self, failure: Failure) -> list[Piece]:
        return self._finish([], failed(failure, self.usage_so_far))

    def _finish(self, pieces: list[Piece], finish: Finish) -> list[Piece]:
        self.finished = True
        return [*pieces, finish]


def _read_logprobs(logprobs: Any) -> Logprobs:
    """Return the log probabilities of a chunk's text, in the Responses shape; empty where there are none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [_read_logprob(entry) | {"top_logprobs": _read_top(entry)} for entry in content if isinstance(entry, dict)]


def _read_top(entry: dict[str, Any]) -> Logprobs:
    top = entry.get("top_logprobs")
    return [_read_logprob(other) for other in top if isinstance(other, dict)] if isinstance(top, list) else []


def _read_logprob(entry: dict[str, Any]) -> dict[str, Any]:
    token = str(entry.get("token", ""))
    known = entry.get("bytes")
    return {
        "token": token,
        # Chat leaves `bytes` null where the token is no text of its own; the Responses part wants a list.
        "bytes": known if isinstance(known, list) else list(token.encode("utf-8", "surrogatepass")),
        "logprob": entry.get("logprob", 0.0),
    }
