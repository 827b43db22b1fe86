"""Events: what a source of one's own yields in, pieces out. No I/O.

Owns the meaning of a yield: text grows the present message, which is opened by its first and closed when an item of the
source's own, or the end, comes; events are those of the Responses API, read with the care that a model server's get
(`responses`). Owns the places in the output where the two are mixed: a source numbers its own items from 0, whatever
text it has yielded. Guarantees at most one Finish, nothing after it, and no exception for anything that is yielded.
"""

from typing import Any, Final

import msgspec
import pydantic

from andon.frames import encode
from andon.pieces import Event, Failure, Finish, Piece
from worker.upstream.chat_output import ContentItem, ItemStatus
from worker.upstream.failures import failed
from worker.upstream.own.complaints import described, unfinished_failure, yielded_failure
from worker.upstream.responses import ResponsesTranslator
from worker.upstream.sse import SseEvent
from worker.upstream.translator import TranslatorContext
from worker.upstream.usage import responses_usage

_OPENING: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALLS: Final = {
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "image_generation_call": ("in_progress", "generating", "partial_image", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "shell_call_command": ("added", "delta", "done"),
    "web_search_call": ("in_progress", "searching", "completed"),
}
_GROWING: Final = (
    "audio",
    "audio.transcript",
    "code_interpreter_call_code",
    "custom_tool_call_input",
    "function_call_arguments",
    "mcp_call_arguments",
    "output_text",
    "reasoning_summary_text",
    "reasoning_text",
    "refusal",
    "shell_call_output_content",
)
# The SDK's events; a test compares, so that drift is seen. A model server may be ahead of the SDK, so what it sends
# passes; a function's event that is not here is a mistake in the function.
KNOWN_EVENTS: Final = (
    _OPENING
    | _TERMINAL
    | {"error", "response.compaction.compacting", "response.output_text.annotation.added"}
    | {f"response.{thing}.{step}" for thing in ("output_item", "content_part") for step in ("added", "done")}
    | {f"response.reasoning_summary_part.{step}" for step in ("added", "done")}
    | {f"response.{part}.{step}" for part in _GROWING for step in ("delta", "done")}
    | {f"response.{call}.{step}" for call, steps in _CALLS.items() for step in steps}
)


class OwnTranslator:
    """Translates what one run of the function of this name yields."""

    def __init__(self, name: str, context: TranslatorContext | None = None) -> None:
        self._name = name
        self._what = ""  # what was yielded last, for a complaint about it
        self._context = msgspec.structs.replace(context or TranslatorContext(), garbage=self._garbage)
        self._events = ResponsesTranslator(self._context)
        self._message: ContentItem | None = None  # the message that text grows
        self._has_text = False  # whether there ever was one
        self._next_index = 0  # the output_index of the next item
        self._indexes: dict[int, int] = {}  # the source's own output_index to ours
        self._last_of_source = -1
        self._open: set[int] = set()  # output indexes of the source's own items that were added and are not done
        self._usage: dict[str, Any] | None = None
        self.finished = False  # whether the Finish was given

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The usage that the source told last, in the Responses shape, or None."""
        return self._usage

    def take(self, value: Any) -> list[Piece]:
        """Take what was yielded and return its pieces, possibly none."""
        if isinstance(value, str):
            return self._take_text(value if type(value) is str else str.__str__(value))
        if isinstance(value, pydantic.BaseModel):
            # Only what was set: the SDK's own `to_dict`. Its models hold more than their annotations say.
            value = value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        self._what = described(value)
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in KNOWN_EVENTS:
            return self.fail(yielded_failure(self._name, self._what))
        return self._take_event(kind, value)

    def end(self) -> list[Piece]:
        """Take the function's return: what it said is whole."""
        if self._open:
            return self.fail(unfinished_failure(self._name))
        self.finished = True
        return [*self._close_message(), Finish("completed", {}, self._usage)]

    def fail(self, failure: Failure) -> list[Piece]:
        """End it as failed."""
        self.finished = True
        return [failed(failure, self._usage)]

    def _take_text(self, text: str) -> list[Piece]:
        if not text:
            return []  # a sign of life
        try:
            text.encode()
        except UnicodeEncodeError:
            return self.fail(yielded_failure(self._name, "text with half a surrogate pair"))
        pieces: list[Piece] = []
        if self._message is None:
            self._has_text = True
            self._message = ContentItem("message", self._context.new_id("msg"), self._take_index())
            pieces.append(self._message.added())
        return pieces + self._message.grow("output_text", text, [])

    def _take_index(self) -> int:
        index = self._next_index
        self._next_index += 1
        return index

    def _close_message(self, status: ItemStatus = "completed") -> list[Piece]:
        message, self._message = self._message, None
        return message.done(status) if message is not None else []

    def _take_event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        if kind in _OPENING:
            return self._take_opening(event)
        pieces: list[Piece] = []
        if kind in _TERMINAL:
            if kind != "response.failed":
                pieces = self._close_message("completed" if kind == "response.completed" else "incomplete")
            event = self._ending(event)
        elif kind == "response.output_item.added":
            pieces = self._close_message()
            event = {**event, "output_index": self._place(event.get("output_index"))}
        elif isinstance(event.get("output_index"), int):
            event = {**event, "output_index": self._indexes.get(event["output_index"], self._next_index)}
        return pieces + self._translate(event)

    def _place(self, said: Any) -> int:
        """Return the index of a new item, and remember by which one the source will name it."""
        self._last_of_source = said if isinstance(said, int) else self._last_of_source + 1
        self._indexes[self._last_of_source] = index = self._take_index()
        return index

    def _take_opening(self, event: dict[str, Any]) -> list[Piece]:
        """Read the running usage, if it is told: nothing else of an opening is the source's to say."""
        response = event.get("response")
        told = response.get("usage") if isinstance(response, dict) else None
        if told is None:
            return []
        usage = responses_usage(told)
        if usage is None:
            return self.fail(yielded_failure(self._name, self._what, "its usage lacks a count of tokens"))
        self._usage = usage
        return []

    def _ending(self, event: dict[str, Any]) -> dict[str, Any]:
        """Leave the output out of a terminal event where there was text besides: the source does not know its items."""
        response = event.get("response")
        if not self._has_text or not isinstance(response, dict):
            return event
        return {**event, "response": {name: value for name, value in response.items() if name != "output"}}

    def _translate(self, event: dict[str, Any]) -> list[Piece]:
        try:
            data = encode(event)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return self.fail(yielded_failure(self._name, self._what, "it can't be written as JSON"))
        pieces = self._events.feed(SseEvent("message", data))
        for piece in pieces:
            if isinstance(piece, Event) and piece.type == "response.output_item.added":
                self._open.add(piece.body["output_index"])
            elif isinstance(piece, Event) and piece.type == "response.output_item.done":
                self._open.discard(piece.body["output_index"])
        if self._events.finished:
            self.finished = True
            finish = pieces[-1]
            assert isinstance(finish, Finish)
            if finish.usage is None:
                pieces[-1] = msgspec.structs.replace(finish, usage=self._usage)
        return pieces

    def _garbage(self, reason: str) -> Failure:
        return yielded_failure(self._name, self._what, reason)
