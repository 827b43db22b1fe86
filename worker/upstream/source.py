"""The source: a request in, pieces out. The door of this package.

Owns the joining of client, parser and translator, and the line between the failures that can be tried again (those
before the first event: `open` raises them) and those that can't (a `Finish(failed)` piece). Does not own retries or
the decision to stop.

Guarantees that the connection of a source that is left, for whatever reason, is closed at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from andon.pieces import Cause, Delta, Failure, Finish, Piece
from andon.tracing import Attribute, Attributes, here
from worker.upstream import chat_request, responses
from worker.upstream.chat import ChatTranslator
from worker.upstream.chat_request import LimitField
from worker.upstream.client import UpstreamClient, UpstreamPath
from worker.upstream.errors import SseEventTooLargeError, UpstreamError
from worker.upstream.failures import failed, garbage_failure
from worker.upstream.pushed_stream import PushedStream
from worker.upstream.responses import ResponsesTranslator
from worker.upstream.sse import SseEvent, SseParser
from worker.upstream.stream import ByteStream
from worker.upstream.translator import Translator, TranslatorContext

# An error event as the very first thing is the model server's way to refuse after it said 200.
_RETRYABLE_FIRST = frozenset({Cause.UPSTREAM_ERROR, Cause.UPSTREAM_RATE_LIMITED, Cause.UPSTREAM_CUT})


# Takes the next pieces; False if no more are wanted.
TakePieces: TypeAlias = Callable[[list[Piece]], bool]
OnBegun: TypeAlias = Callable[["PieceStream"], None]


class PieceStream(Protocol):
    """The pieces of one response, in lists: what came at once is together. Read it from one task.

    Iterating never raises an upstream's failure: that is a `Finish(failed)`. It ends after the Finish; it ends without
    one only when `close` was called. Cancelling an iteration is safe.
    """

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The latest usage the upstream told, in the Responses shape, or None."""
        ...

    @property
    def left_behind(self) -> bool:
        """Whether it was closed and goes on all the same: only code that is not ours can."""
        ...

    def __aiter__(self) -> Self:
        """Return itself: pieces can be read once."""
        ...

    async def __anext__(self) -> list[Piece]:
        """Return the next pieces, never an empty list."""
        ...

    async def pour(self, take: TakePieces) -> None:
        """Have the pieces taken as they come, until the end, or until no more are wanted.

        They are what an iteration would give, without a task in between. What `take` raises ends it; cancelling it is
        safe.
        """
        ...

    def cut(self) -> bool:
        """End the upstream in this very call, as far as that can be; `close` does the rest. May be repeated.

        Return whether it is closed by this: then whoever pours may be left to be cancelled a little later.
        """
        ...

    async def close(self) -> None:
        """End the upstream now, at once and for good. Idempotent; safe while another task iterates."""
        ...


class Source(Protocol):
    """Where a response's pieces come from."""

    @property
    def left_behind(self) -> int:
        """How many streams were closed and go on all the same."""
        ...

    def open(
        self, body: dict[str, Any], take: TakePieces | None = None, begun: OnBegun | None = None
    ) -> AbstractAsyncContextManager[PieceStream]:
        """Ask for a response to a validated `response.create` body (no type, stream_id or event_id).

        `take`: what the stream's `pour` will be given. It may be given pieces before this has been entered, which
        `pour` then does not repeat: so nothing is waited for between a model's first bytes and whoever takes them.
        `begun`: is told of the stream as soon as it can be `cut`, where that is before this has been entered.

        Entering waits for the first event and raises UpstreamError for what fails before it. Leaving closes the
        connection. Cancelling is safe at every point.
        """
        ...


class HttpPieceStream:
    """The pieces of one answer of a model server. Meets `PieceStream`."""

    left_behind: Final = False

    def __init__(self, translator: Translator, take: TakePieces | None = None, begun: OnBegun | None = None) -> None:
        # Set by `hear` or `attach`.
        self._stream: ByteStream
        self._translator = translator
        self._take = take
        self._tell_begun = begun
        # That of whoever asks: what the first events tell of goes to its span.
        self._context = copy_context()
        # Done at the first event, or the end, where the stream is heard before anybody waits; None where it is not.
        self._heard: asyncio.Future[None] | None = None
        # The first event has come; more pieces are wanted. Both of a stream that is heard so.
        self._began = False
        self._is_wanted = True
        # Whether its first text was given.
        self._has_text = False
        self._parser = SseParser()
        self._first: list[Piece] = []  # pieces that came with the first event, not yet given
        self._closed = False  # `close` was called: what follows is its effect, not the upstream's doing

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The latest usage the upstream told, or None."""
        return self._translator.usage_so_far

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> list[Piece]:
        """Return the next pieces. See `PieceStream`."""
        if self._first and not self._closed:
            pieces, self._first = self._first, []
            return pieces
        while not (self._closed or self._translator.finished):
            try:
                _, pieces = await self._advance()
            except UpstreamError as error:
                pieces = [failed(error.failure, self.usage_so_far)]
                self._closed = True  # nothing follows the Finish
            if pieces:
                return pieces
        raise StopAsyncIteration

    def hear(self, stream: PushedStream) -> None:
        """Give pieces to `take` from now on. Called within the callback in which the answer's head has come."""
        self._stream = stream
        self._heard = asyncio.get_running_loop().create_future()
        stream.pour_soon(self._hear, self._tell_heard)
        if self._tell_begun is not None:
            self._tell_begun(self)

    def attach(self, stream: ByteStream) -> None:
        """Take the stream that is to be read; the same that is heard already, where one is."""
        self._stream = stream

    def _hear(self, chunk: bytes) -> bool:
        events = self._events(chunk)
        if not events:
            return True
        if self._has_text:
            self._give(self._translated(events))
        else:
            self._hear_first(events)
        return self._is_wanted and not (self._closed or self._translator.finished)

    def _hear_first(self, events: list[SseEvent]) -> None:
        """Give the first text as soon as it is there: whoever asked waits for it, and not for what came with it."""
        assert self._take is not None
        pieces: list[Piece] = []
        for count, event in enumerate(events, 1):
            pieces += self._context.run(self._translator.feed, event)
            if pieces and isinstance(pieces[-1], Delta):
                self._has_text = True
                self._begin_with(pieces)
                if rest := self._translated(events[count:]):
                    # Even where nothing more is wanted now: it has come, and is counted as thrown away.
                    self._is_wanted = self._take(rest)
                return
        self._begin_with(pieces)

    def _begin_with(self, pieces: list[Piece]) -> None:
        is_first, self._began = not self._began, True
        self._tell_heard()
        if is_first and _failure_at_once(pieces) is not None:
            self._first, self._is_wanted = pieces, False
        else:
            self._give(pieces)

    def _give(self, pieces: list[Piece]) -> None:
        assert self._take is not None
        if pieces and self._is_wanted and not self._closed:
            self._is_wanted = self._take(pieces)

    def _tell_heard(self) -> None:
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    async def pour(self, take: TakePieces) -> None:
        """Have the pieces taken. See `PieceStream`."""
        if self._first and not self._closed:
            pieces, self._first = self._first, []
            if not take(pieces):
                return
        if self._closed or self._translator.finished:
            return
        self._take, self._began = take, True
        try:
            await self._stream.pour(self._hear)
        except UpstreamError as error:
            self._closed = True  # nothing follows the Finish
            take([failed(error.failure, self.usage_so_far)])
        if self._is_wanted and not (self._closed or self._translator.finished):
            take(self._translator.eof())

    def cut(self) -> bool:
        """Close the connection in this call, unless the finish was seen: then it may serve another request."""
        if self._translator.finished:
            return False
        self._closed = True
        return self._stream.cut()

    async def close(self) -> None:
        """Close the connection; the iteration ends without a Finish, unless it was given."""
        self._closed = True
        await self._stream.close()

    async def begin(self) -> None:
        """Wait for the first event. Raises UpstreamError when there is none, or when it is a failure."""
        if self._heard is not None:
            await self._begin_heard(self._heard)
        else:
            began = False
            while not began:
                began, self._first = await self._advance()
        failure = _failure_at_once(self._first)
        if failure is not None:
            raise UpstreamError(failure, retryable=failure.cause in _RETRYABLE_FIRST)

    async def _begin_heard(self, heard: "asyncio.Future[None]") -> None:
        await heard
        if not self._began:
            await self._stream.pour(self._hear)  # it has ended: raises of what
            self._first = [] if self._closed else self._translator.eof()

    def release(self) -> None:
        """Let go: a finished stream's connection is kept for the next request."""
        if self._translator.finished and not self._closed:
            self._stream.release()

    async def _advance(self) -> tuple[bool, list[Piece]]:
        """Read one chunk. Return whether an event (or the end) came, and its pieces."""
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            if self._closed:
                return True, []
            return True, self._translator.eof()
        return self._parsed(chunk)

    def _parsed(self, chunk: bytes) -> tuple[bool, list[Piece]]:
        """Return whether an event came with these bytes, and its pieces. Raises UpstreamError for garbage."""
        events = self._events(chunk)
        return bool(events), self._translated(events)

    def _events(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that these bytes make whole. Raises UpstreamError for garbage."""
        try:
            return self._parser.feed(chunk)
        except SseEventTooLargeError as error:
            failure = garbage_failure(str(error))
            raise UpstreamError(failure, retryable=False) from error

    def _translated(self, events: list[SseEvent]) -> list[Piece]:
        if len(events) == 1:
            return self._translator.feed(events[0])
        pieces: list[Piece] = []
        for event in events:
            pieces += self._translator.feed(event)
        return pieces


def _failure_at_once(first: list[Piece]) -> Failure | None:
    """Return the failure that a stream began with, if it did."""
    head = first[0] if first else None
    return head.failure if isinstance(head, Finish) else None


class OpenAISource:
    """OpenAI, or a server that speaks its Responses or its Chat Completions API. Meets `Source`."""

    left_behind: Final = 0

    def __init__(
        self,
        client: UpstreamClient,
        api: Literal["responses", "chat"],
        *,
        limit_field: LimitField = "max_completion_tokens",
        running_usage: bool = False,
    ) -> None:
        self._client = client
        self._api = api
        self._limit_field = limit_field
        # Whether a chat is asked for its usage in every chunk: an extension of vLLM's, which others may refuse.
        self._running_usage = running_usage
        self._context = TranslatorContext(redact=client.redact)
        # What the span of each call says of the server.
        self._told: Attributes = {
            # By the API that it speaks; who is behind a compatible server is not known.
            Attribute.GEN_AI_PROVIDER: "openai",
            Attribute.SERVER_ADDRESS: client.address[0],
            Attribute.SERVER_PORT: client.address[1],
            Attribute.OPENAI_API: "chat_completions" if api == "chat" else "responses",
        }

    @asynccontextmanager
    async def open(
        self, body: dict[str, Any], take: TakePieces | None = None, begun: OnBegun | None = None
    ) -> AsyncIterator[HttpPieceStream]:
        """Ask for a response. See `Source`; raises UnsupportedParameterError for what a chat can't be asked."""
        path, request = self._request(body)
        here().set(self._told)
        pieces = HttpPieceStream(self._translator(), take, begun)
        async with self._client.stream(path, request, None if take is None else pieces.hear) as stream:
            pieces.attach(stream)
            await pieces.begin()
            try:
                yield pieces
            finally:
                pieces.release()

    def _request(self, body: dict[str, Any]) -> tuple[UpstreamPath, dict[str, Any]]:
        if self._api == "responses":
            return "/responses", responses.build_request(body)
        return "/chat/completions", chat_request.build_request(
            body, limit_field=self._limit_field, running_usage=self._running_usage
        )

    def _translator(self) -> Translator:
        return ResponsesTranslator(self._context) if self._api == "responses" else ChatTranslator(self._context)
