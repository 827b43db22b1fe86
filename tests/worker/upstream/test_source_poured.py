"""What a source gives to whoever has it poured, as the worker's pump does: the same on every way to the server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from andon.pieces import Cause, Finish, Piece
from andon.tracing import Attribute, Attributes, TraceContext, being_active
from tests.stack.waiting import wait_until
from tests.worker.upstream.conftest import Way
from tests.worker.upstream.connections import assert_gone, assert_nothing_in_use, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer
from tests.worker.upstream.test_source import BODY, begin, cause_of, complete, ending_after, responses_of, stall
from worker.upstream.client import UpstreamClient
from worker.upstream.errors import UpstreamError


class Taken:
    """Takes pieces, as the pump does."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.is_wanted = True

    def __call__(self, pieces: list[Piece]) -> bool:
        self.pieces += pieces
        return self.is_wanted

    @property
    def kinds(self) -> list[str]:
        return [type(piece).__name__ for piece in self.pieces]


async def poured(client: UpstreamClient) -> Taken:
    taken = Taken()
    async with responses_of(client).open(BODY, taken) as stream:
        await stream.pour(taken)
    return taken


async def test_every_piece_is_taken_once_and_the_connection_is_kept(
    server: ModelServer, client: UpstreamClient
) -> None:
    """Whatever of it came before `open` was entered."""
    server.script = complete
    for _ in range(3):
        taken = await poured(client)
        assert taken.kinds == ["Event", "Delta", "Finish"]
        await until_settled(client)
    assert server.connections == 1
    assert_nothing_in_use(client)


async def test_a_prepared_request_is_heard_before_anybody_waits(
    server: ModelServer, client: UpstreamClient, way: Way
) -> None:
    """What the first bytes say was taken when `open` is entered; else `pour` gives it, and never both."""

    async def whole_opening(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.chunk(
            b'data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m"}}\n\n'
        )
        await exchange.wait_client_gone()

    server.script = whole_opening
    taken = Taken()
    async with responses_of(client).open(BODY, taken) as stream:
        assert taken.kinds == (["Event"] if way is Way.PREPARED else [])
        taken.is_wanted = False
        if way is not Way.PREPARED:
            await stream.pour(taken)
        assert taken.kinds == ["Event"]
    await assert_gone(server.exchanges[0])
    assert_nothing_in_use(client)


async def test_a_stream_can_be_cut_as_soon_as_its_head_has_come(
    server: ModelServer, client: UpstreamClient, way: Way
) -> None:
    """Before whoever opens it has its turn; the other ways tell of it when it is entered."""
    server.script = stall
    begun: list[bool] = []
    taken = Taken()
    opening = responses_of(client).open(BODY, taken, lambda stream: begun.append(stream.cut()))
    entering = asyncio.ensure_future(opening.__aenter__())
    if way is Way.PREPARED:
        await wait_until(lambda: bool(begun))
        await assert_gone(server.exchanges[0])
        assert (begun, taken.pieces) == ([True], [])
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
    else:
        await entering
        assert begun == []
        await opening.__aexit__(None, None, None)
    await until_settled(client)
    assert_nothing_in_use(client)


@pytest.mark.parametrize(
    ("data", "cause", "retryable"),
    [
        (b'{"error":{"message":"busy","code":"rate_limit_exceeded"}}', Cause.UPSTREAM_RATE_LIMITED, True),
        (b"<html>", Cause.UPSTREAM_GARBAGE, False),
        (None, Cause.UPSTREAM_CUT, True),
    ],
)
async def test_a_failure_at_once_is_raised_and_not_taken(
    server: ModelServer, client: UpstreamClient, data: bytes | None, cause: Cause, retryable: bool
) -> None:
    """So the request can be tried again."""
    server.script = ending_after(data)
    taken = Taken()
    with pytest.raises(UpstreamError) as caught:
        async with responses_of(client).open(BODY, taken):
            pass
    assert (caught.value.failure.cause, caught.value.retryable) == (cause, retryable)
    assert taken.pieces == []
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_a_body_that_breaks_before_its_first_event_is_raised(server: ModelServer, client: UpstreamClient) -> None:
    """As is one that stalls there."""

    async def half(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.send(b"ff\r\ndata: ")
        await exchange.wait_client_gone()

    server.script = half
    taken = Taken()
    with pytest.raises(UpstreamError) as caught:
        async with responses_of(client).open(BODY, taken):
            pass
    assert caught.value.failure.cause is Cause.UPSTREAM_TIMEOUT
    assert taken.pieces == []


@pytest.mark.parametrize("how", ["end", "garbage", "stall"])
async def test_a_failure_later_is_a_finish(server: ModelServer, client: UpstreamClient, how: str) -> None:
    """What came before it is kept."""

    async def fail(exchange: Exchange) -> None:
        await begin(exchange)
        if how == "end":
            await exchange.end()
            return
        if how == "garbage":
            await exchange.event(b"<html>")
        await exchange.wait_client_gone()

    server.script = fail
    taken = await poured(client)
    assert taken.kinds == ["Event", "Delta", "Finish"]
    causes = {"end": Cause.UPSTREAM_CUT, "garbage": Cause.UPSTREAM_GARBAGE, "stall": Cause.UPSTREAM_TIMEOUT}
    assert cause_of(taken.pieces) is causes[how]
    await until_settled(client)
    assert_nothing_in_use(client)


@pytest.mark.parametrize("point", ["headers", "first event", "pouring"])
async def test_cancelling_closes_the_connection(server: ModelServer, client: UpstreamClient, point: str) -> None:
    """At any point, twice in a row, and nothing more is taken."""

    async def script(exchange: Exchange) -> None:
        if point == "first event":
            await exchange.start()
        elif point == "pouring":
            await stall(exchange)
            return
        await exchange.wait_client_gone()

    server.script = script
    asking = asyncio.create_task(poured(client))
    await server.requests.get()
    asking.cancel()
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await assert_gone(server.exchanges[0])
    await until_settled(client)
    assert_nothing_in_use(client)


class Told:
    """A span that keeps what it is told."""

    context = TraceContext("")

    def __init__(self) -> None:
        self.told: dict[Attribute, object] = {}

    def set(self, attributes: Attributes) -> None:
        """Keep it."""
        self.told.update(attributes)

    def fail(self, error_type: str) -> None:
        """Do nothing."""

    def end(self, at: float | None = None) -> None:
        """Do nothing."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Be the one that is told."""
        with being_active(self):
            yield


async def test_the_first_event_is_told_to_the_span_of_whoever_asks(server: ModelServer, client: UpstreamClient) -> None:
    """Though it is heard within the transport's callback, which is nobody's."""
    server.script = complete
    for _ in range(2):  # the second on the connection that the first one made
        span = Told()
        with span.active():
            taken = await poured(client)
        assert isinstance(taken.pieces[-1], Finish)
        assert span.told[Attribute.GEN_AI_RESPONSE_ID] == "resp_theirs"
        await until_settled(client)
