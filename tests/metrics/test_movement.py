"""Each metric moves when the thing happens, seen by real scrapes of real processes."""

import asyncio
import signal
from collections.abc import Callable

from andon.ids import ResponseId, new_response_id, tag_of
from tests.delivery.reader import Reader
from tests.metrics.scrape import Scrape, Target, of_gateway, of_worker
from tests.stack.prompt import Prompt
from tests.stack.servers import client_of
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_PATIENCE_S = 30.0


class Since:
    """How far the counters of a process have moved."""

    def __init__(self, target: Target, before: Scrape) -> None:
        self._target = target
        self._before = before

    async def moved(self, sample: str, /, by: float = 1, **labels: str) -> None:
        """Wait until a counter has moved by so much, and not further."""
        start = self._before.value(sample, **labels)
        now = start

        async def has() -> bool:
            nonlocal now
            now = (await self._target.scrape()).value(sample, **labels)
            return now >= start + by

        await wait_until(has, _PATIENCE_S, what=f"{sample} {labels} moves by {by}, from {start}")
        assert now == start + by, (sample, labels)

    async def grew(self, sample: str, /, **labels: str) -> None:
        """Wait until it has moved at all."""
        start = self._before.value(sample, **labels)
        await reads(self._target, lambda scrape: scrape.value(sample, **labels) > start)

    async def stood(self, sample: str, /, **labels: str) -> None:
        """Assert that it has not moved."""
        assert (await self._target.scrape()).value(sample, **labels) == self._before.value(sample, **labels)


async def since(target: Target) -> Since:
    """Begin to watch."""
    return Since(target, await target.scrape())


async def reads(target: Target, holds: Callable[[Scrape], bool]) -> None:
    """Wait until a scrape says so."""

    async def look() -> bool:
        return holds(await target.scrape())

    await wait_until(look, _PATIENCE_S)


async def test_a_stop_by_its_hint_is_told_from_the_ask_to_the_close(
    metered: Stack, gateway: Target, worker: Target, session: str
) -> None:
    """One stream more, one socket more; then one stop asked, carried, settled, timed; and both are gone."""
    at_gateway, at_worker = await since(gateway), await since(worker)
    async with metered.connect(session=session) as client:
        response_id = await client.start(Prompt(tokens=100_000, rate=200).body)
        await client.text_begun(response_id)
        scrape = await worker.scrape()
        assert scrape.value("andon_live_streams") == 1
        assert scrape.value("andon_stream_capacity") == 500
        assert (await gateway.scrape()).value("andon_sockets") == 1
        await client.cancel(response_id=response_id)
        assert (await client.closed())[0] == 1000
    await at_gateway.moved("andon_creates_total", outcome="accepted")
    await at_gateway.moved("andon_stop_requests_total", outcome="recorded")
    await at_worker.moved("andon_responses_total", status="cancelled")
    await at_worker.moved("andon_stop_to_closed_seconds_count")
    await at_worker.moved("andon_stops_total", outcome="settled")
    await at_worker.moved("andon_first_text_seconds_count")
    await at_worker.grew("andon_tokens_total", source="estimated")
    # Within the same second, on Redis' clock as on ours: they are one machine's.
    assert (await worker.scrape()).value("andon_stop_to_closed_seconds_sum") < _PATIENCE_S
    await reads(worker, lambda scrape: scrape.value("andon_live_streams") == 0)
    await reads(gateway, lambda scrape: scrape.value("andon_sockets") == 0)


async def test_a_stop_of_what_nobody_has_is_counted_where_it_was_settled(
    metered: Stack, gateway: Target, worker: Target, session: str
) -> None:
    """The second of a lane waits for its turn: its stop is settled by the script, and told by the gateway alone."""
    async with metered.connect(session=session, on_stop="keep") as client:
        first = await client.start(Prompt(model="sim-mute").body, stream_id="lane")
        at_gateway, at_worker = await since(gateway), await since(worker)
        await client.create(Prompt().body, stream_id="lane")
        # Commands are obeyed in their order: by then it waits.
        await client.cancel(stream_id="lane")
        stopped = await client.event("response.cancel.done")
        assert len(stopped["stops"]) == 2
        await client.ending(first)
    await at_gateway.moved("andon_stops_total", path="unclaimed", outcome="settled")
    await at_gateway.moved("andon_responses_total", status="cancelled")
    await at_gateway.moved("andon_stop_requests_total", by=2, outcome="recorded")
    await at_worker.moved("andon_stops_total")


async def test_an_answer_is_told_with_its_tokens(metered: Stack, worker: Target, session: str) -> None:
    """As the model server counts them."""
    at_worker = await since(worker)
    async with metered.connect(session=session) as client:
        response_id = await client.start(Prompt(tokens=7, rate=0).body)
        usage = (await client.ending(response_id))["response"]["usage"]
    await at_worker.moved("andon_responses_total", status="completed")
    await at_worker.moved("andon_tokens_total", by=usage["output_tokens"], source="upstream")
    await at_worker.stood("andon_stops_total")
    await at_worker.stood("andon_tokens_after_stop_total")


async def test_refusals_and_stops_that_find_nothing_are_told_by_their_codes(
    metered: Stack, gateway: Target, session: str
) -> None:
    """A create that goes on from nowhere; a stop of what has ended, and of what never was."""
    at_gateway = await since(gateway)
    async with metered.connect(session=session) as client:
        await client.create({**Prompt().body, "previous_response_id": "resp_none"})
        assert (await client.event("error"))["error"]["code"] == "previous_response_not_found"
        response_id = await client.start(Prompt(tokens=1, rate=0).body)
        await client.ending(response_id)
        await client.cancel(response_id=response_id)
        await client.event("response.cancel.failed")
        await client.cancel(response_id=new_response_id(tag_of(ResponseId(response_id))), event_id="unknown")
        await client.event("error", event_id="unknown")
    await at_gateway.moved("andon_creates_total", outcome="previous_response_not_found")
    await at_gateway.moved("andon_creates_total", outcome="accepted")
    await at_gateway.moved("andon_stop_requests_total", outcome="already_ended")
    await at_gateway.moved("andon_stop_requests_total", outcome="unknown")


async def test_each_request_to_the_model_that_failed_is_told_by_its_cause(
    metered: Stack, worker: Target, session: str
) -> None:
    """Those that were tried again, too: three requests, one failed response."""
    at_worker = await since(worker)
    async with metered.connect(session=session) as client:
        response_id = await client.start(Prompt(model="sim-500").body)
        await client.ending(response_id)
    await at_worker.moved("andon_upstream_errors_total", by=3, cause="upstream_error")
    await at_worker.moved("andon_responses_total", status="failed")


async def test_a_lost_subscription_under_a_follower_is_a_gap(metered: Stack, gateway: Target, session: str) -> None:
    """The channel is confirmed anew, and the log read: the client misses nothing, and the gap is told."""
    prompt = Prompt(tokens=100_000, rate=50)
    async with metered.connect(session=session) as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)
        at_gateway = await since(gateway)
        for node in metered.servers.nodes:
            with client_of(node) as redis:
                redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
        await at_gateway.grew("andon_pubsub_gaps_total")
        await reads(gateway, lambda scrape: scrape.value("andon_subscribed") == 1)
        await client.cancel(response_id=response_id)
        await client.ending(response_id)
    numbers = [event["sequence_number"] for event in client.of(response_id)]
    assert numbers == list(range(len(numbers)))


async def test_a_reader_that_is_too_slow_is_told(metered: Stack, gateway: Target, session: str) -> None:
    """It reads next to nothing of an answer far larger than all buffers."""
    at_gateway = await since(gateway)
    async with metered.connect(session=session) as creator:
        slow = await Reader.open(metered.gateways[0].port, session=session, small_buffer=True)
        slow.trickle(4 * 1024)
        response_id = await creator.start(Prompt(model="sim-fat", tokens=200, rate=0).body)
        slow.send("response.retrieve", response_id=response_id)
        await creator.ending(response_id)
        await at_gateway.moved("andon_slow_readers_total")
        slow.abort()


async def test_the_lease_and_redis_are_told_from_the_start(gateway: Target, worker: Target) -> None:
    """Renewed, connected, answering, nobody waiting; the worker's own health by its lease."""
    await reads(worker, lambda scrape: scrape.value("andon_lease_renewals_total", outcome="renewed") >= 1)
    for target in (gateway, worker):
        await reads(target, lambda scrape: scrape.value("andon_redis_round_trip_seconds_count") >= 1)
        scrape = await target.scrape()
        assert scrape.value("andon_redis_connected") == 1
        assert abs(scrape.value("andon_redis_clock_ahead_seconds")) < _PATIENCE_S
        assert scrape.value("andon_queue_age_seconds") >= 0
    assert (await worker.get("/healthz")).status_code == 200


async def test_who_waits_without_a_worker_is_told_and_who_was_stopped_waits_no_more(bare: Stack, session: str) -> None:
    """The age of the queue rises while nobody takes a job; its stop ends that, though its entry stays."""
    gateway = of_gateway(bare.gateways[0])
    async with bare.connect(session=session) as client:
        response_id = await client.start(Prompt().body)
        await reads(gateway, lambda scrape: scrape.value("andon_queue_age_seconds") > 0)
        await client.cancel(response_id=response_id)
        await client.closed()
        await reads(gateway, lambda scrape: scrape.value("andon_queue_age_seconds") == 0)


async def test_drains_are_told_while_they_last(bare: Stack, session: str) -> None:
    """A worker that lets an answer finish says that it has begun to drain, and stays well until its end."""
    process = await bare.start_worker()
    worker = await of_worker(process)
    async with bare.connect(session=session, on_stop="keep") as client:
        response_id = await client.start(Prompt(tokens=100_000, rate=50).body)
        await client.text_begun(response_id)
        process.end_is_expected = True
        process.send_signal(signal.SIGTERM)
        await reads(worker, lambda scrape: scrape.value("andon_drains_total", outcome="begun") == 1)
        assert (await worker.scrape()).value("andon_live_streams") == 1
        assert (await worker.get("/healthz")).status_code == 200
        await client.cancel(response_id=response_id)
        await client.ending(response_id)
        assert await process.ended() == 0


async def test_scrapes_disturb_nobody(metered: Stack, gateway: Target, worker: Target, session: str) -> None:
    """Many at once, while an answer streams: each is whole, and the answer is."""
    async with metered.connect(session=session) as client:
        response_id = await client.start(Prompt(tokens=40, rate=100).body)
        scrapes = await asyncio.gather(*(target.scrape() for target in (gateway, worker) for _ in range(8)))
        assert all(scrape.kinds for scrape in scrapes)
        assert (await client.ending(response_id))["response"]["status"] == "completed"
