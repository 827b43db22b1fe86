"""The answer to one request: opened, played and ended as its model's behaviour says.

Owns the carrying out of openings and endings. Does not own the wire forms, the pace, or HTTP errors: those it raises
as `SimError`, always before any header has gone out.
"""

from collections.abc import Iterator
from typing import assert_never

from andon.sim.ask import Ask
from andon.sim.chat import ChatAnswer
from andon.sim.errors import SimError
from andon.sim.exchange import Exchange
from andon.sim.faults import Ending, Opening, Voice
from andon.sim.frames import Answer, Frame, cut_characters, until_tokens
from andon.sim.meter import Record
from andon.sim.pace import Pace, play
from andon.sim.plan import plan
from andon.sim.responses import ResponsesAnswer

_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_JSON = [(b"content-type", b"application/json")]
# No SSE field, no UTF-8, and in the one line that is an event, no JSON.
_GARBAGE = b"\x80\xff\xfe<html>\x00\r\ndata: <html><h1>502 Bad Gateway</h1>\n\n\xc3\x28\n\n" * 4


async def answer(ask: Ask, exchange: Exchange, record: Record, started: float) -> None:
    """Answer the request; `started` is the monotonic time its tokens are counted from.

    Returns when the answer has ended or the client has gone. Raises `SimError` for an answer that is an HTTP error.
    """
    match ask.behaviour.opening:
        case Opening.MUTE:
            await exchange.until_gone()
        case Opening.SILENT:
            await _start(exchange, record, _SSE if ask.stream else _JSON)
            await exchange.until_gone()
        case Opening.STATUS:
            raise SimError(ask.behaviour.status)
        case Opening.ANSWER:
            laid_out = plan(ask)
            wire = ResponsesAnswer(ask, laid_out) if ask.api == "responses" else ChatAnswer(ask, laid_out)
            await (_stream if ask.stream else _whole)(ask, wire, exchange, record, _pace(ask, started))
        case unknown:
            assert_never(unknown)


async def _stream(ask: Ask, wire: Answer, exchange: Exchange, record: Record, pace: Pace) -> None:
    await _start(exchange, record, _SSE)
    frames = wire.frames()
    if ask.behaviour.voice is Voice.WIDE:
        frames = cut_characters(frames)
    if ask.behaviour.ending is Ending.WHOLE:
        if await play(frames, exchange, record, pace):
            await exchange.end()
            record.finished = exchange.ended
    elif await play(until_tokens(frames, ask.after), exchange, record, pace):
        following, _ = next(frames)
        await _break_off(ask.behaviour.ending, wire, exchange, following)


async def _whole(ask: Ask, wire: Answer, exchange: Exchange, record: Record, pace: Pace) -> None:
    """Take the time the tokens take, then answer at once."""
    ending = ask.behaviour.ending
    if not await play(_unseen(ask.n if ending is Ending.WHOLE else ask.after), exchange, record, pace):
        return
    body: bytes | None = wire.whole()
    if ending is Ending.FAILED:
        body = wire.whole_failed()
    if ending is Ending.ERROR_EVENT or body is None:
        raise SimError(500)
    if ending in (Ending.WHOLE, Ending.FAILED):
        await _start(exchange, record, [*_JSON, (b"content-length", b"%d" % len(body))])
        await exchange.end(body)
        record.finished = exchange.ended and ending is Ending.WHOLE
        return
    await _start(exchange, record, _JSON)
    if ending in (Ending.STALL, Ending.DROP):
        await exchange.write(body[: len(body) // 2])
    await _break_off(ending, wire, exchange, body)


async def _break_off(ending: Ending, wire: Answer, exchange: Exchange, following: bytes) -> None:
    """End as the fault says; `following` is what would have gone out next."""
    match ending:
        case Ending.STALL:
            await exchange.until_gone()
        case Ending.DROP:
            await exchange.reset()
        case Ending.GARBAGE:
            await exchange.end(_GARBAGE)
        case Ending.HALF:
            await exchange.end(following[: len(following) // 2])
        case Ending.EOF:
            await exchange.end()
        case Ending.ERROR_EVENT:
            await exchange.end(wire.error())
        case Ending.FAILED:
            await exchange.end(wire.failed())
        case Ending.WHOLE:
            raise AssertionError("a whole answer is not broken off")
        case unknown:
            assert_never(unknown)


def _pace(ask: Ask, started: float) -> Pace:
    pace = Pace(start=started, rate=ask.rate, ttft_s=ask.ttft_s, burst=ask.behaviour.burst)
    if ask.behaviour.voice is Voice.WIDE:
        # Characters are cut between tokens, so each token needs a write of its own.
        pace.batch = 1
    return pace


def _unseen(tokens: int) -> Iterator[Frame]:
    """Give tokens that are generated but not sent."""
    return ((b"", 1) for _ in range(tokens))


async def _start(exchange: Exchange, record: Record, headers: list[tuple[bytes, bytes]]) -> None:
    record.status = 200
    await exchange.start(200, headers)
