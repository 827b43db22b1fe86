"""Exchange: one client connection of the model server, a bare HTTP/1.1.

Owns the reading of requests and the writing of one answer at a time. Guarantees: when a client closes, the instant at
which that was seen is noted before anything else is done.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final, Protocol, cast

from bench.ask import Ask, mark, now_us
from bench.model.events import Api, Chat, Responses
from bench.model.pace import LATE_US, Wheel
from bench.model.record import Record

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_APIS: Final[dict[bytes, Api]] = {b"/v1/responses": Responses(), b"/v1/chat/completions": Chat()}


class Desk(Protocol):
    """What the server keeps for all exchanges."""

    wheel: Wheel
    records: dict[str, Record]
    open: int
    requests: int
    tokens: int
    late: int

    def control(self, target: bytes, body: bytes) -> bytes | None:
        """Answer what the bench itself asks; None: no such thing."""


class Answer:
    """One answer being written. Meets `Paced`."""

    def __init__(self, ask: Ask, api: Api, record: Record, exchange: "Exchange", desk: Desk) -> None:
        self._api = api
        self._exchange = exchange
        self._desk = desk
        self._tokens = ask.tokens
        self._start_us = record.asked_us + ask.delay_ms * 1000
        self._step_us = 1_000_000 / ask.rate if ask.rate else 0.0
        self.record = record
        self.due_us = int(self._start_us)

    def write_due(self, at_us: int, text: bytes) -> bool:
        """Write what is due. Of a reader that does not read, everything is due later."""
        exchange, stamps = self._exchange, self.record.tokens_us
        if exchange.answer is not self:
            return False
        if exchange.is_full:
            self.due_us = at_us + 1000
            return True
        if at_us - self.due_us > LATE_US:
            self._desk.late += 1
        number, due_us = len(stamps), self.due_us
        while True:
            exchange.write(self._api.token(number, text))
            stamps.append(at_us)
            number += 1
            due_us = int(self._start_us + number * self._step_us)
            if number >= self._tokens:
                exchange.finish(self._api.ending(self._texts()))
                return False
            if due_us > at_us or exchange.is_full:
                break
        self.due_us = due_us
        return True

    def _texts(self) -> Sequence[bytes]:
        return [mark(at_us) for at_us in self.record.tokens_us]


class Exchange(asyncio.Protocol):
    """One connection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._read = b""
        # The answer under way.
        self.answer: Answer | None = None
        # The reader does not keep up.
        self.is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=64 * 1024)

    def data_received(self, data: bytes) -> None:
        """Read requests; one that comes during an answer waits for its end."""
        self._read += data
        if self.answer is None:
            self._next()

    def eof_received(self) -> bool:
        """Note the end: the client closed, or shut down its side."""
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        del exc
        self._ended()

    def pause_writing(self) -> None:
        """Stop writing."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Go on."""
        self.is_full = False

    def write(self, data: bytes) -> None:
        """Write a piece of the answer."""
        assert self._transport is not None
        self._transport.write(data)
        self._desk.tokens += 1

    def finish(self, data: bytes) -> None:
        """Write the rest of the answer, and read on."""
        assert self._transport is not None
        assert self.answer is not None
        self._transport.write(data)
        self.answer.record.finished_us = now_us()
        self._leave()
        self._next()

    def _ended(self) -> None:
        if self.answer is not None:
            self.answer.record.closed_us = now_us()
            self._leave()

    def _leave(self) -> None:
        self.answer = None
        self._desk.open -= 1

    def _next(self) -> None:
        head, separator, rest = self._read.partition(b"\r\n\r\n")
        if not separator or self._transport is None:
            return
        if _CHUNKED.search(head):
            self._refuse(b"411 Length Required")
            return
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if len(rest) < length:
            return
        self._read = rest[length:]
        _, target, _ = head.split(b" ", 2)
        self._serve(target, rest[:length])

    def _serve(self, target: bytes, body: bytes) -> None:
        assert self._transport is not None
        desk, api = self._desk, _APIS.get(target)
        if api is None:
            told = desk.control(target, body)
            if told is None:
                self._refuse(b"404 Not Found")
                return
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(told)
            self._transport.write(head + told)
            self._next()
            return
        ask = Ask.found_in(body)
        if ask is None:
            self._refuse(b"400 Bad Request")
            return
        record = desk.records[ask.key] = Record(now_us())
        desk.requests += 1
        desk.open += 1
        self.answer = Answer(ask, api, record, self, desk)
        self._transport.write(api.opening)
        if ask.tokens == 0:
            return  # silent, until the client has had enough
        at_us = record.asked_us
        if self.answer.due_us > at_us or self.answer.write_due(at_us, mark(at_us)):
            desk.wheel.add(self.answer)

    def _refuse(self, status: bytes) -> None:
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        self._transport.close()
