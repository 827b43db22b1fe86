"""Deaths: the trace goes on over a worker that was killed, and a collector that is away holds up nothing."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.traces.conftest import otel
from tests.traces.receiver import Receiver

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


async def test_a_job_queued_again_after_its_workers_death_stays_in_its_trace(own_stack: OwnStack) -> None:
    """The rescue and the next claim are spans of it; each claim has its own, numbered by its generation."""
    with Receiver() as receiver:
        async with own_stack(gateways=1, workers=1, ANDON_LEASE_S="2", **otel(receiver.endpoint)) as stack:
            # Refused once, and then asked again: by then its worker is dead.
            prompt = Prompt(model="sim-flaky-429-1", tokens=5, retry_after_s=30)
            async with stack.connect(0) as client:
                response_id = await client.start(prompt.body)
                await stack.meter.ended(prompt.key)
                await stack.workers[0].kill()
                await stack.start_worker()
                ending = await client.ending(response_id, timeout_s=60)
            assert ending["type"] == "response.completed"

            create = await receiver.one(response_id, "create response")
            rescue = await receiver.one(response_id, "rescue response")
            run = await receiver.one(response_id, "run response")
            assert {create.trace, rescue.trace, run.trace} == {create.trace}
            assert (rescue.parent, run.parent) == (create.id, create.id)
            assert rescue.attributes["andon.outcome"] == "queued"
            assert (rescue.attributes["andon.generation"], run.attributes["andon.generation"]) == (1, 2)
            assert rescue.attributes["andon.worker.id"] != run.attributes["andon.worker.id"]
            requests = (await stack.meter.read(prompt.key, "idle")).requests
            # Both requests came with the one trace; the span of the first died with its worker.
            assert {(record.traceparent or "")[3:35] for record in requests} == {create.trace}
            assert len(requests) == 2


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the address of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """Give an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_collector_that_is_away_holds_up_neither_a_stop_nor_an_end(
    own_stack: OwnStack, silent: str, closed: str
) -> None:
    """A stop is settled as ever, the processes end in time with exit code 0, and what is lost is told as a warning."""
    async with own_stack(gateways=0, workers=0) as stack:
        # The exporter's own time-out is longer than any process may take to end.
        gateway = await stack.start_gateway(port=0, **otel(silent), OTEL_EXPORTER_OTLP_TIMEOUT="120")
        worker = await stack.start_worker(**otel(closed), OTEL_EXPORTER_OTLP_TIMEOUT="120")
        prompt = Prompt(tokens=2000, rate=100)
        async with stack.connect(0) as client:
            response_id = await client.start(prompt.body)
            await client.text_begun(response_id)
            await client.cancel(response_id=response_id)
            done = await client.event("response.cancel.done")
            assert await client.closed() == (1000, "stopped")
        assert done["stops"][0]["settled"] is not None
        for process in (gateway, worker):
            assert await process.stop() == 0
            lost = process.log_events("traces.left_unsent") + process.log_events("traces.not_exported")
            assert {line["level"] for line in lost} == {"warning"}
