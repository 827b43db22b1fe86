import asyncio
from typing import Any

import msgspec
import pytest

from andon.pieces import Cause, Delta, Finish, Piece
from tests.worker.upstream.connections import assert_gone, assert_nothing_in_use, until_settled
from tests.worker.upstream.model_server import Exchange, ModelServer, Script
from worker.upstream.client import UpstreamClient
from worker.upstream.errors import UnsupportedParameterError, UpstreamError
from worker.upstream.source import OpenAISource, PieceStream, Source

BODY: dict[str, Any] = {"model": "m", "input": "x"}
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
OPENING: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_theirs"}},
    {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
]
DELTA = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "a"}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_theirs", "output": []}}


def responses_of(client: UpstreamClient) -> Source:
    return OpenAISource(client, api="responses")


async def begin(exchange: Exchange) -> None:
    await exchange.start()
    for event in [*OPENING, DELTA]:
        await exchange.event(event, event["type"])


async def stall(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.wait_client_gone()


def ending_after(data: bytes | None) -> Script:
    """Say 200, this one event if it is one, and no more."""

    async def script(exchange: Exchange) -> None:
        await exchange.start()
        if data is not None:
            await exchange.event(data)
        await exchange.end()

    return script


async def complete(exchange: Exchange) -> None:
    await begin(exchange)
    await exchange.event(COMPLETED)
    await exchange.end()


async def read_all(stream: PieceStream) -> list[Piece]:
    return [piece async for pieces in stream for piece in pieces]


def cause_of(pieces: list[Piece]) -> Cause:
    finish = pieces[-1]
    assert isinstance(finish, Finish)
    assert finish.failure is not None
    return finish.failure.cause


async def test_a_response_comes_through_and_its_connection_is_kept(server: ModelServer, client: UpstreamClient) -> None:
    """From request to Finish, and again on the same connection."""
    server.script = complete
    for _ in range(2):
        async with responses_of(client).open({**BODY, "background": True}) as stream:
            pieces = await read_all(stream)
        await until_settled(client)
        assert [type(piece).__name__ for piece in pieces] == ["Event", "Delta", "Finish"]
    assert server.exchanges[0].path == "/v1/responses"
    assert server.exchanges[0].body == {**BODY, "stream": True}
    assert server.connections == 1
    assert_nothing_in_use(client)


async def test_a_chat_comes_through(server: ModelServer, client: UpstreamClient) -> None:
    """The other path, the other request, the same pieces; the usage is known while it runs."""
    told = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

    async def chat(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": told})
        await exchange.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await exchange.event(b"[DONE]")
        await exchange.end()

    server.script = chat
    async with OpenAISource(client, "chat", limit_field="max_tokens").open({**BODY, "max_output_tokens": 9}) as stream:
        pieces = await anext(stream)
        assert Delta in map(type, pieces)
        assert stream.usage_so_far is not None
        pieces += await read_all(stream)
    assert isinstance(pieces[-1], Finish)
    assert pieces[-1].usage == stream.usage_so_far
    assert server.exchanges[0].path == "/v1/chat/completions"
    assert server.exchanges[0].body["max_tokens"] == 9


async def test_what_came_in_one_chunk_is_one_list(server: ModelServer, client: UpstreamClient) -> None:
    """So that the scribe can append it at once."""

    async def burst(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event(OPENING[0])
        await exchange.chunk(b": keep-alive\n\n")
        lines = [b"data: " + data + b"\n\n" for data in _encoded([OPENING[1], DELTA, DELTA, COMPLETED])]
        await exchange.chunk(b"".join(lines))
        await exchange.end()

    server.script = burst
    async with responses_of(client).open(BODY) as stream:
        lists = [len(pieces) async for pieces in stream]
    assert lists == [4]


def _encoded(events: list[dict[str, Any]]) -> list[bytes]:
    return [msgspec.json.encode(event) for event in events]


async def test_a_field_that_chat_does_not_know_fails_before_any_request(
    server: ModelServer, client: UpstreamClient
) -> None:
    """The error names it; the model is not asked."""
    with pytest.raises(UnsupportedParameterError, match="`truncation`"):
        async with OpenAISource(client, "chat").open({**BODY, "truncation": "auto"}):
            pass
    assert server.connections == 0


@pytest.mark.parametrize(
    ("data", "cause", "retryable"),
    [
        (b'{"error":{"message":"busy","code":"rate_limit_exceeded"}}', Cause.UPSTREAM_RATE_LIMITED, True),
        (b'{"type":"error","message":"busy"}', Cause.UPSTREAM_ERROR, True),
        (b"<html>", Cause.UPSTREAM_GARBAGE, False),
        (None, Cause.UPSTREAM_CUT, True),
    ],
)
async def test_a_failure_before_the_first_event_can_be_tried_again(
    server: ModelServer, client: UpstreamClient, data: bytes | None, cause: Cause, retryable: bool
) -> None:
    """`open` raises it, though the status was 200."""
    server.script = ending_after(data)
    with pytest.raises(UpstreamError) as caught:
        async with responses_of(client).open(BODY):
            pass
    assert (caught.value.failure.cause, caught.value.retryable) == (cause, retryable)
    await until_settled(client)
    assert_nothing_in_use(client)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("end", Cause.UPSTREAM_CUT),
        ("half", Cause.UPSTREAM_CUT),
        ("reset", Cause.UPSTREAM_CUT),
        ("stall", Cause.UPSTREAM_TIMEOUT),
        ("garbage", Cause.UPSTREAM_GARBAGE),
        ("error", Cause.UPSTREAM_ERROR),
    ],
)
async def test_a_failure_after_the_first_event_is_a_finish(
    server: ModelServer, client: UpstreamClient, how: str, cause: Cause
) -> None:
    """Never an exception, and never a completion; what came before it is kept."""

    async def fail(exchange: Exchange) -> None:
        await begin(exchange)
        match how:
            case "end":
                await exchange.end()
            case "half":
                await exchange.chunk(b'data: {"type":"response.completed","response":{}}\n')
                await exchange.end()
            case "reset":
                await asyncio.sleep(0.02)  # so that the reset does not overtake what was sent
                exchange.reset()
            case "stall":
                await exchange.wait_client_gone()
            case "garbage":
                await exchange.event(b"<html>")
                await exchange.wait_client_gone()
            case "error":
                await exchange.event({"type": "error", "message": "boom"})
                await exchange.wait_client_gone()

    server.script = fail
    async with responses_of(client).open(BODY) as stream:
        pieces = await read_all(stream)
        assert cause_of(pieces) is cause
        assert [type(piece).__name__ for piece in pieces] == ["Event", "Delta", "Finish"]
    await until_settled(client)
    assert_nothing_in_use(client)


async def test_close_ends_the_iteration_without_a_finish(server: ModelServer, client: UpstreamClient) -> None:
    """What our own close causes is not blamed on the upstream."""
    server.script = stall
    async with responses_of(client).open(BODY) as stream:
        await anext(stream)
        async with asyncio.timeout(1), asyncio.TaskGroup() as group:
            reader = group.create_task(read_all(stream))
            await asyncio.sleep(0)  # one turn of the loop: the reader is in its read
            await stream.close()
            await assert_gone(server.exchanges[0])
            await stream.close()
        assert not [piece for piece in reader.result() if isinstance(piece, Finish)]
    assert_nothing_in_use(client)


@pytest.mark.parametrize("point", ["connecting", "headers", "first event", "reading", "holding"])
async def test_cancelling_at_any_point_closes_the_connection(
    server: ModelServer, client: UpstreamClient, point: str
) -> None:
    """Within a tenth of a second the server sees it, and the pool has nothing left."""
    held = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if point == "first event":
            await exchange.start()
        elif point != "headers":
            await begin(exchange)
        await exchange.wait_client_gone()

    async def run() -> None:
        async with responses_of(client).open(BODY) as stream:
            async for _ in stream:
                held.set()
                if point == "holding":
                    await asyncio.Event().wait()

    server.script = script
    task = asyncio.create_task(run())
    if point == "connecting":
        await asyncio.sleep(0)  # one turn of the loop: the connection is being made
    else:
        await server.requests.get()
        if point in {"reading", "holding"}:
            await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for exchange in server.exchanges:
        await assert_gone(exchange)
    await until_settled(client)
    assert_nothing_in_use(client)
