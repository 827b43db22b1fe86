"""Stream: a client of a contender, with one response at a time, and the instants of what happens to it.

Owns one socket and what its dialect tells of each frame. Guarantees: the instant of a stop is taken before its bytes
are handed to the kernel, that of an arrival before the frame is looked at.
"""

import asyncio
from array import array
from typing import TypeVar

from bench.ask import Ask, count_marks, first_age_us, now_us
from bench.contender import Contender, Dialect, Kind
from bench.generator.websocket import WebSocket

_T = TypeVar("_T")


class StreamError(Exception):
    """A contender did not do what the measure needs; the message is what it said."""


class Stream:
    """One client. Times are microseconds of CLOCK_MONOTONIC."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._socket: WebSocket | None = None
        self._loop = asyncio.get_running_loop()
        self._reset()
        # Over all responses of this stream.
        self.frames = 0
        self.tokens = 0
        # Of each frame with tokens, how old its first one was; only kept where `wants_ages`.
        self.ages_us = array("q")
        self.wants_ages = False
        # The complaint, or the loss of the socket; everything that is waited for raises it.
        self.error: StreamError | None = None
        self.is_closed = False

    def _reset(self) -> None:
        self.response_id = ""
        # When the create was sent, and when the first token came.
        self.asked_us = 0
        self.first_us = 0
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.started: asyncio.Future[str] = self._loop.create_future()
        self.first: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(cls, contender: Contender, port: int, session: str) -> "Stream":
        """Open a socket, and return when it may be used."""
        dialect = contender.dialect(session)
        stream = cls(dialect)
        socket = await WebSocket.open(port, dialect.target, stream._frame, stream._closed)
        stream._socket = socket
        for frame in dialect.greeting:
            socket.send(frame)
        if dialect.waits_for_ready:
            await stream.ready
        return stream

    def create(self, ask: Ask) -> None:
        """Ask for a response, of which `started`, `first` and `ended` tell."""
        assert self._socket is not None
        if self.error:
            raise self.error
        self._reset()
        frame = self._dialect.create(ask.prompt)
        self.asked_us = now_us()
        self._socket.send(frame)

    def attach(self, response_id: str) -> None:
        """Ask for the tokens of another stream's response."""
        assert self._socket is not None
        self._reset()
        self._socket.send(self._dialect.attach(response_id))

    def stop(self, response_id: str) -> int:
        """Stop a response; return the instant just before it was sent."""
        assert self._socket is not None
        frame = self._dialect.stop(response_id)
        sent_us = now_us()
        self._socket.send(frame)
        return sent_us

    def close(self) -> None:
        """Drop the socket."""
        self.is_closed = True
        if self._socket is not None:
            self._socket.abort()

    def _frame(self, frame: bytes) -> None:
        at_us = now_us()
        kind, response_id, reply = self._dialect.read(frame)
        if kind is Kind.TOKENS:  # nearly every frame
            self.frames += 1
            self.tokens += count_marks(frame)
            if self.wants_ages:
                self.ages_us.append(first_age_us(frame, at_us))
            if not self.first_us:
                self.first_us = at_us
                _tell(self.first, None)
            return
        self._event(kind, response_id, reply, frame)

    def _event(self, kind: Kind, response_id: str, reply: bytes | None, frame: bytes) -> None:
        if reply is not None:
            assert self._socket is not None
            self._socket.send(reply)
        if kind is Kind.STARTED:
            self.response_id = response_id
            _tell(self.started, response_id)
        elif kind is Kind.ENDED:
            _tell(self.ended, None)
        elif kind is Kind.READY:
            _tell(self.ready, None)
        elif kind is Kind.FAILED:
            self._fail(StreamError(_complaint(frame)))

    def _closed(self) -> None:
        # Some close their socket after a stop: whoever waits for the end has it.
        if not self.is_closed and not self.ended.done():
            code = self._socket.close_code if self._socket else 1006
            self._fail(StreamError(f"the server closed the socket with {code}"))
        self.is_closed = True

    def _fail(self, error: StreamError) -> None:
        self.error = self.error or error
        for future in (self.ready, self.started, self.first, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody need wait for it


def _complaint(frame: bytes) -> str:
    """Return what is worth reading of a frame that complains: how it begins, and its error."""
    at = max(frame.find(b'"error":{'), 0)
    return (frame[:200] + b" ... " * bool(at) + frame[at : at + 400]).decode(errors="replace")


def _tell(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)
