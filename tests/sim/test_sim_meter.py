import asyncio
import ssl
import time

import pytest
from starlette.types import Message

from andon.sim.exchange import TRANSPORT, Exchange
from andon.sim.meter import Meter, Record
from andon.sim.pace import Pace, play
from andon.sim.server import SimOptions

from .door import PATHS, Door, opened, request

APIS = ["responses", "chat"]


def _record(key: str) -> Record:
    return Record(id=key, api="chat", received_at=0, authorized=False, key=key)


@pytest.mark.parametrize("api", APIS)
async def test_a_finished_request_is_on_record(sim: Door, api: str) -> None:
    """Who asked, what was billed, and when; the prompt cut to 200 characters."""
    await sim.post(api, "gpt-5", prompt="x" * 300, user="u1", stream=True, metadata={"sim_key": "K"})
    record = await sim.record("K")
    assert (record.model, record.api, record.user, record.prompt) == ("gpt-5", api, "u1", "x" * 200)
    assert (record.tokens_generated, record.finished, record.client_closed, record.closed_at) == (12, True, False, None)
    assert record.first_token_at is not None
    assert record.ended_at is not None
    assert record.received_at <= record.first_token_at <= record.ended_at


@pytest.mark.parametrize("stream", [True, False])
async def test_a_close_that_the_client_asked_for_is_not_its_going(sim: Door, *, stream: bool) -> None:
    """With `Connection: close` the sim itself closes at the end: the request is finished all the same."""
    body = request("responses", "sim", stream=stream, metadata={"sim_key": "K"})
    await sim.http.post("/responses", json=body, headers={"Connection": "close"})
    record = await sim.record("K")
    assert (record.finished, record.client_closed) == (True, False)


async def test_tokens_for_a_client_that_has_gone_are_not_counted() -> None:
    """The connection knows of its end a moment before the app is told; what falls due in between is not billed."""

    class Closing(asyncio.Transport):
        def is_closing(self) -> bool:
            return True

    async def receive() -> Message:
        raise AssertionError("nothing is read here")

    async def send(message: Message) -> None:
        raise AssertionError(f"nothing is written to a closing connection: {message}")

    exchange = Exchange({"extensions": {TRANSPORT: {"transport": Closing()}}}, receive, send)
    pace = Pace(start=0, rate=0, ttft_s=0, burst=1)
    assert not await play([(b"token", 1)] * 3, exchange, record := _record("K"), pace)
    assert record.tokens_generated == 0


@pytest.mark.parametrize("api", APIS)
async def test_a_close_mid_stream_stops_the_tokens_at_once(paced: Door, api: str) -> None:
    """The client reads five tokens and closes: the sim sees it, and bills at most what the next moment brought."""
    body = request(api, "sim", stream=True, metadata={"sim_key": "K"})
    received = b""
    async with paced.http.stream("POST", PATHS[api], json=body) as reply:
        async for chunk in reply.aiter_raw():
            received += chunk
            if received.count(b'"delta":') >= 5:
                break
    closed = time.time()
    record = await paced.record("K")
    assert record.client_closed
    assert not record.finished
    assert record.closed_at is not None
    assert record.closed_at - closed < 0.25
    assert 4 <= record.tokens_generated <= 10


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_close_before_the_first_token_bills_nothing(paced: Door, api: str, *, stream: bool) -> None:
    """A stop in the time to first token is seen then, not when the token would be due."""
    body = request(api, "sim", stream=stream, metadata={"sim_key": "K", "sim_ttft": "1000"})
    call = asyncio.create_task(paced.http.post(PATHS[api], json=body))
    assert (await paced.meter("K", until="open")).open == 1
    call.cancel()
    await asyncio.wait([call])
    record = await paced.record("K")
    assert (record.client_closed, record.tokens_generated, record.first_token_at) == (True, 0, None)


async def test_a_close_is_seen_while_unsent_bytes_wait_for_a_slow_reader(paced: Door) -> None:
    """A client that never read and then goes is seen at once: the sim's full buffers do not hide it."""
    host, port = paced.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    body = b'{"model":"sim-fat","input":"x","stream":true,"metadata":{"sim_key":"K","sim_rate":"0"}}'
    head = f"POST /v1/responses HTTP/1.1\r\nhost: sim\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    _, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(head + body)
    before = -1
    while (now := (await paced.record("K", until="open")).tokens_generated) != before or not now:
        before = now
    writer.write_eof()  # a FIN, with bytes unread: no reset helps the sim to notice
    record = await paced.record("K")
    writer.close()
    assert record.client_closed
    assert record.tokens_generated < 10_000


async def test_a_paced_stream_keeps_its_schedule(tls: ssl.SSLContext) -> None:
    """Forty tokens at 200 a second after 100 ms take 0.1 + 39 / 200 s, not more for each token's own delay."""
    async with opened(SimOptions(rate=200, ttft_s=0.1, tokens=40), tls) as door:
        await door.post("responses", "sim", stream=True, metadata={"sim_key": "K"})
        record = await door.record("K")
    assert record.first_token_at is not None
    assert record.ended_at is not None
    assert 0.09 <= record.first_token_at - record.received_at < 0.25
    assert 0.19 <= record.ended_at - record.first_token_at < 0.4


async def test_the_key_filters_and_the_reset_forgets(sim: Door) -> None:
    """`?key=` shows one key's requests and totals; DELETE starts anew, flaky counts included."""
    for key in ("a", "b", "b"):
        await sim.post("responses", "sim-flaky-1", metadata={"sim_key": key})
    reading = await sim.meter("b")
    assert [record.status for record in reading.requests] == [500, 200]
    assert reading.totals == {"requests": 2, "tokens_generated": 12, "finished": 1, "client_closed": 0}
    assert (await sim.meter()).totals["requests"] == 3
    assert (await sim.http.delete("/meter")).status_code == 204
    assert await sim.meter() == await sim.meter("b")
    assert (await sim.post("responses", "sim-flaky-1", metadata={"sim_key": "b"})).status_code == 500


async def test_the_meter_is_reached_beside_v1_too(sim: Door) -> None:
    """`/meter` and `/healthz` stand at the root and under the base URL."""
    root = sim.base_url.removesuffix("/v1")
    assert (await sim.http.get(f"{root}/meter")).json()["open"] == 0
    assert (await sim.http.get(f"{root}/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "query", ["until=soon", "until=idle&wait_s=x", "until=idle&wait_s=1e9", "until=idle&wait_s=nan"]
)
async def test_a_wait_the_meter_cannot_do_is_refused(sim: Door, query: str) -> None:
    """A misspelt wait is a 400, not an answer that looks like success."""
    assert (await sim.http.get(f"/meter?{query}")).status_code == 400


async def test_a_wait_for_idle_waits_for_a_request_to_come_first() -> None:
    """Nothing yet is not idle: a test may ask before its request has arrived."""
    meter = Meter()
    waiting = asyncio.create_task(meter.wait("K", "idle", 5))
    await asyncio.sleep(0)
    meter.begin(record := _record("K"))
    await asyncio.sleep(0)
    assert not waiting.done()
    meter.end(record)
    async with asyncio.timeout(1):
        await waiting


async def test_a_request_open_across_a_reset_is_still_counted_as_open() -> None:
    """A reset hides no open upstream, and lets no earlier tokens into the new totals."""
    meter = Meter()
    meter.begin(record := _record("K"))
    record.count(3)
    meter.reset()
    assert meter.view(None)["open"] == 1
    assert meter.view(None)["totals"].tokens_generated == 0
    meter.end(record)
    assert meter.view(None)["open"] == 0
    assert meter.view(None)["totals"].tokens_generated == 0


async def test_totals_outlive_the_ring() -> None:
    """The ring drops the oldest of more than 20,000 requests; the totals and the open ones stay right."""
    meter = Meter()
    meter.begin(first := _record("first"))
    for _ in range(20_000):
        meter.begin(record := _record("K"))
        record.count(1)
        meter.end(record)
    view = meter.view(None)
    assert (len(view["requests"]), view["open"]) == (20_000, 1)
    assert first not in view["requests"]
    assert (view["totals"].requests, view["totals"].tokens_generated) == (20_001, 20_000)
