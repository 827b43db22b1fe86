"""The `responses` upstream: a Responses stream in, the same events as pieces out.

Owns what is dropped (the upstream's own opening, its numbers and response ids, obfuscation), what is filled in, and
which events are deltas that may be merged; and the request, which passes nearly as it came. Does not own the
response's own fields (ids, times, status): they are the worker's.

Liberal with events it does not know (they pass through), strict with what a client would break on: no JSON, a known
event of the wrong shape, an event whose item was never added.
"""

import contextlib
from typing import Any, Literal, TypeAlias

import msgspec

from andon.pieces import Cause, Delta, Event, Failure, Finish, Piece
from andon.tracing import Attribute, here
from worker.upstream.failures import complaint_failure, cut_failure, failed
from worker.upstream.positions import Positions, UnknownItemError, index_or_none
from worker.upstream.sse import SseEvent
from worker.upstream.translator import TranslatorContext
from worker.upstream.usage import responses_usage
from worker.upstream.wholeness import ItemStatus, whole_item, whole_part

# Deltas whose text may simply be joined, and the index of their part. Audio is base64 and shell output is an object:
# those pass as events, unmerged.
_DELTAS: dict[str, Literal["content_index", "summary_index"] | None] = {
    "response.output_text.delta": "content_index",
    "response.refusal.delta": "content_index",
    "response.reasoning_text.delta": "content_index",
    "response.reasoning_summary_text.delta": "summary_index",
    "response.function_call_arguments.delta": None,
    "response.custom_tool_call_input.delta": None,
    "response.mcp_call_arguments.delta": None,
    "response.code_interpreter_call_code.delta": None,
}

# Other events that name an item (and a part): their place is filled in too.
_PLACED: dict[str, Literal["content_index", "summary_index"] | None] = {
    "response.content_part.added": "content_index",
    "response.content_part.done": "content_index",
    "response.output_text.done": "content_index",
    "response.output_text.annotation.added": "content_index",
    "response.refusal.done": "content_index",
    "response.reasoning_text.done": "content_index",
    "response.reasoning_summary_part.added": "summary_index",
    "response.reasoning_summary_part.done": "summary_index",
    "response.reasoning_summary_text.done": "summary_index",
    "response.function_call_arguments.done": None,
    "response.custom_tool_call_input.done": None,
    "response.mcp_call_arguments.done": None,
    "response.code_interpreter_call_code.done": None,
}

_PARTS = frozenset({"response.content_part.added", "response.content_part.done"})
_PARTS_ADDED = frozenset({"response.content_part.added", "response.reasoning_summary_part.added"})
_WITH_LOGPROBS = frozenset({"response.output_text.delta", "response.output_text.done"})
_OPENING = frozenset({"response.created", "response.in_progress", "response.queued"})
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

# What an event carries of the upstream's own numbering, and the padding that hides token lengths on its wire.
_DROPPED_FIELDS = ("type", "sequence_number", "response_id", "stream_id", "obfuscation")

# What the worker says itself of its response, whatever the upstream's says.
_OUR_FIELDS = frozenset(
    {
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "error",
        "incomplete_details",
        "usage",
        "background",
        "previous_response_id",
        "output",
    }
)
_NEVER_NULL = frozenset({"model", "parallel_tool_calls", "tool_choice", "tools"})
_INCOMPLETE_REASONS = frozenset({"max_output_tokens", "max_messages", "content_filter", "steered"})

# Fields that are meant for us: answered, or resolved into `input`, before the request gets here.
_REQUEST_DROPPED = frozenset({"background", "previous_response_id", "generate"})

_DONE = b"[DONE]"  # the Responses API has no such line; servers that grew from Chat Completions send it


def build_request(body: dict[str, Any]) -> dict[str, Any]:
    """Return the upstream's request for a validated `response.create` body (no type, stream_id or event_id)."""
    return {**{name: value for name, value in body.items() if name not in _REQUEST_DROPPED}, "stream": True}


class _Head(msgspec.Struct, gc=False):
    """All a delta has, and what tells other events apart: one decode for nearly every event."""

    type: str = ""
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: Any = None
    logprobs: Any = None


# Item, index in the output, and name and index of the part where the item has parts.
_Place: TypeAlias = tuple[str, int, tuple[Literal["content_index", "summary_index"], int] | None]


class _Named(msgspec.Struct, gc=False):
    id: str | None = None


class _Opening(msgspec.Struct, gc=False):
    response: _Named


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_opening = msgspec.json.Decoder(_Opening).decode
_decode_any = msgspec.json.Decoder().decode


class _GarbageError(Exception):
    """The upstream sent what a client would break on; the argument says what kind, and quotes nothing."""


class ResponsesTranslator:
    """Translates one Responses stream. Meets `translator.Translator`."""

    def __init__(self, context: TranslatorContext | None = None) -> None:
        self._context = context or TranslatorContext()
        self._positions = Positions()
        # Whether the Finish was given.
        self.finished = False
        # What the delta before said of its place, and what that place is; None once another event may have changed it.
        self._told: tuple[object, ...] | None = None
        self._place: _Place = ("", 0, None)

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """None: the Responses API tells usage only at its end."""
        return None

    def feed(self, event: SseEvent) -> list[Piece]:
        """Take one event and return its pieces. Never raises."""
        if self.finished:
            return []
        try:
            return self._translate(event)
        except msgspec.DecodeError:
            return self._finish(failed(self._context.garbage("an event is not JSON")))
        except UnknownItemError:
            return self._finish(failed(self._context.garbage("an event came before its item")))
        except _GarbageError as error:
            return self._finish(failed(self._context.garbage(str(error))))

    def eof(self) -> list[Piece]:
        """Take the end of the stream."""
        return [] if self.finished else self._finish(failed(cut_failure()))

    def _translate(self, event: SseEvent) -> list[Piece]:
        try:
            head = _decode_head(event.data)
        except msgspec.DecodeError:  # ValidationError too: an unknown event may well use our names for other things
            return self._translate_slowly(event)
        kind = head.type
        text = head.delta
        if kind in _DELTAS and type(text) is str and not head.logprobs:
            told = (kind, head.item_id, head.output_index, head.content_index, head.summary_index)
            if told != self._told:
                self._place = self._placed(head)
                self._told = told
            item_id, output_index, part = self._place
            return [Delta(kind, item_id, output_index, part, text)]
        if kind in _OPENING:
            self._tell_opening(event)
            return []
        return self._translate_slowly(event)

    def _placed(self, delta: _Head) -> _Place:
        """Look up the place even where the server tells all of it, as the check that the item was added."""
        item_id, output_index = self._positions.item(delta.item_id, delta.output_index)
        name = _DELTAS[delta.type]
        if name is None:
            return item_id, output_index, None
        index = delta.content_index if name == "content_index" else delta.summary_index
        return item_id, output_index, (name, self._positions.part(output_index, name, index))

    @staticmethod
    def _tell_opening(event: SseEvent) -> None:
        """Tell the call's span what its provider calls this response: it is asked for by that name."""
        with contextlib.suppress(msgspec.DecodeError):  # a server that says it otherwise, or not at all
            here().set({Attribute.GEN_AI_RESPONSE_ID: _decode_opening(event.data).response.id})

    def _translate_slowly(self, event: SseEvent) -> list[Piece]:
        self._told = None
        if event.data.strip() == _DONE:
            return self.eof()
        body = _decode_any(event.data)
        if not isinstance(body, dict):
            raise _GarbageError("an event is not a JSON object")
        kind = body.get("type")
        if not isinstance(kind, str):
            kind = event.event if event.event != "message" else ""
        if kind in _TERMINAL:
            return self._end(kind, body.get("response"))
        if kind == "error" or (not kind and "error" in body):
            nested = body.get("error")
            return self._finish(failed(complaint_failure(nested or body, self._context.redact)))
        if not kind:
            raise _GarbageError("an event has no type")
        if kind in _OPENING:
            return []
        for name in _DROPPED_FIELDS:
            body.pop(name, None)
        self._fill_in(kind, body)
        return [Event(kind, body)]

    def _fill_in(self, kind: str, body: dict[str, Any]) -> None:
        if kind in {"response.output_item.added", "response.output_item.done"}:
            self._fill_in_item(kind, body)
        elif kind in _PLACED or kind in _DELTAS:
            if kind in _DELTAS and not isinstance(body.get("delta"), str):
                raise _GarbageError("a delta is no text")
            self._fill_in_place(kind, body)
        if kind in _PARTS:
            if not isinstance(body.get("part"), dict):
                raise _GarbageError("a content part is missing")
            body["part"] = whole_part(body["part"])
        if kind in _WITH_LOGPROBS and body.get("logprobs") is None:
            body["logprobs"] = []

    def _fill_in_item(self, kind: str, body: dict[str, Any]) -> None:
        item = body.get("item")
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise _GarbageError("an item is missing")
        output_index = index_or_none(body.get("output_index"))
        if kind == "response.output_item.added":
            body["item"] = item = whole_item(item, "in_progress", self._context.new_id("item"))
            body["output_index"] = self._positions.add_item(output_index, str(item["id"]))
            return
        named = item.get("id") or item.get("call_id")
        item_id, output_index = self._positions.item(named if isinstance(named, str) else None, output_index)
        body["item"] = whole_item(item, "completed", item_id)
        body["output_index"] = output_index

    def _fill_in_place(self, kind: str, body: dict[str, Any]) -> None:
        item_id = body.get("item_id")
        body["item_id"], output_index = self._positions.item(
            item_id if isinstance(item_id, str) else None, index_or_none(body.get("output_index"))
        )
        body["output_index"] = output_index
        name = _PLACED[kind] if kind in _PLACED else _DELTAS[kind]
        if name is None:
            return
        index = index_or_none(body.get(name))
        if kind in _PARTS_ADDED:
            body[name] = self._positions.add_part(output_index, name, index)
        else:
            body[name] = self._positions.part(output_index, name, index)

    def _end(self, kind: str, response: Any) -> list[Piece]:
        if not isinstance(response, dict):
            raise _GarbageError("a terminal event has no response")
        status = kind.removeprefix("response.")
        if status == "completed" and response.get("status") in ("incomplete", "failed", "cancelled"):
            status = response["status"]  # vLLM names its last event `completed` whatever the response says
        usage = responses_usage(response.get("usage"))
        fields = self._kept_fields(response, "completed" if status == "completed" else "incomplete")
        if status == "completed":
            return self._finish(Finish("completed", fields, usage))
        if status == "incomplete":
            return self._finish(Finish("incomplete", fields, usage, incomplete_reason=_incomplete_reason(response)))
        if status == "cancelled":
            # Only another client of the same account can have asked for it: ours stop by closing the connection.
            message = "The model server says that the response was cancelled there. Try again."
            failure = Failure("server_error", Cause.UPSTREAM_ERROR, message)
        else:
            failure = complaint_failure(response.get("error"), self._context.redact)
        return self._finish(Finish("failed", fields, usage, failure=failure))

    def _kept_fields(self, response: dict[str, Any], status: ItemStatus) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in response.items()
            if name not in _OUR_FIELDS and not (value is None and name in _NEVER_NULL)
        }
        output = response.get("output")
        if isinstance(output, list):
            kept["output"] = [
                whole_item(item, status, self._context.new_id("item")) for item in output if isinstance(item, dict)
            ]
        return kept

    def _finish(self, finish: Finish) -> list[Piece]:
        self.finished = True
        return [finish]


def _incomplete_reason(response: dict[str, Any]) -> str:
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    # A server without reasons knows one way to end early: the token limit.
    return reason if isinstance(reason, str) and reason in _INCOMPLETE_REASONS else "max_output_tokens"
