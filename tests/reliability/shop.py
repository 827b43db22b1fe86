"""Shop: a worker in this process, against a real server and a real model server, with every door open to a test.

Owns the making of lives and the client's part (submit, stop, wait for the ending). Does not own what is broken.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from andon import keys
from andon.database import Database
from andon.frames import decode
from andon.ids import ANONYMOUS, ResponseId, SessionTag, WorkerId
from andon.lifetime import background
from andon.replies import JobView, StopReceipt
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from andon.sweep import Sweep
from andon.trail import Trail
from tests.contract.jobs import submission
from tests.metrics.scrape import Scrape
from tests.stack.prompt import Prompt
from tests.stack.simulator import Meter
from tests.stack.waiting import wait_until
from worker.beat import RENEWALS_A_LEASE
from worker.life import Life
from worker.metrics import WorkerMetrics
from worker.shutdown import Shutdown
from worker.upstream.client import UpstreamClient
from worker.upstream.source import OpenAISource

_END_S = 10.0


class Worker:
    """One life of a worker, and the means to end it."""

    def __init__(
        self,
        life: Life,
        shutdown: Shutdown,
        task: asyncio.Task[None],
        settled: list[SessionTag],
        metrics: WorkerMetrics,
    ) -> None:
        self.id: WorkerId = life.worker_id
        self.life = life
        self.shutdown = shutdown
        self.task = task
        # Sessions whose outbox this worker was told of.
        self.settled = settled
        self._metrics = metrics

    def scrape(self) -> Scrape:
        """Return what it would answer to Prometheus."""
        return Scrape(self._metrics.exposition("")[0].decode())

    async def told_stop(self, path: str, outcome: str = "settled") -> None:
        """Wait until it has told of its one stop, and assert that it came by this path."""
        await wait_until(lambda: self.scrape().value("andon_stops_total"), what="a stop is told")
        assert self.scrape().value("andon_stops_total", path=path, outcome=outcome) == 1
        assert self.scrape().value("andon_stops_total") == 1

    async def ended(self, timeout_s: float = _END_S) -> None:
        """Wait for the end of this life."""
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({self.task})
        self.task.result()

    async def die(self) -> None:
        """End as a killed process would: no goodbye, no ending; its connections to the model are closed."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def sweep_over(database: Database, settings: Settings) -> Sweep:
    """Make the sweep of some process."""
    store = Store(database, settings)
    return Sweep(database, settings, store=store, shipper=Shipper(database), trail=Trail(store, process="w_test"))


class Shop:
    """The server, the model server, and the client's part."""

    def __init__(self, url: str, database: Database, meter: Meter) -> None:
        self.url = url
        self.database = database
        self.meter = meter
        self.settings = Settings(lease_s=60)
        self.store = Store(database, self.settings)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def worker(
        self,
        *,
        url: str | None = None,
        api: Literal["responses", "chat"] = "responses",
        on_database: Callable[[Database], None] = lambda _: None,
        **settings: Any,
    ) -> AsyncIterator[Worker]:
        """Run one life of a worker for the length of a block; it claims once the block is entered.

        `url`: another way to the server. `on_database`: told of the life's database before it starts.
        """
        chosen = self.settings.model_copy(update=settings)
        timeout_s = min(chosen.command_timeout_s, chosen.lease_s / RENEWALS_A_LEASE)
        shutdown = Shutdown()
        settled: list[SessionTag] = []
        async with (
            Database(url or self.url, timeout_s=timeout_s).open() as database,
            Database(url or self.url, timeout_s=timeout_s).open() as reader,
            UpstreamClient(
                max_connections=64, read_timeout_s=60, base_url=self.meter.base_url, api_key="sk-test"
            ) as client,
        ):
            await database.wait_connected(5)
            on_database(database)
            metrics = WorkerMetrics(database, chosen)
            life = Life(
                database=database,
                reader=reader,
                source=OpenAISource(client, api),
                settings=chosen,
                shutdown=shutdown,
                rescuer=sweep_over(database, chosen).rescuer,
                on_settled=settled.append,
                trail=Trail(Store(database, chosen), process="w_test"),
                telemetry=metrics,
            )
            worker = Worker(life, shutdown, asyncio.ensure_future(life.run()), settled, metrics)
            try:
                await wait_until(lambda: self._is_up(worker))
                yield worker
            finally:
                await worker.die()

    async def _is_up(self, worker: Worker) -> bool:
        if worker.task.done():
            worker.task.result()
        return bool(await self.database.call("EXISTS", keys.lease(worker.id)))

    @contextlib.asynccontextmanager
    async def sweeping(self, **settings: Any) -> AsyncIterator[Sweep]:
        """Run the sweep of some other process for the length of a block."""
        chosen = self.settings.model_copy(update=settings)
        sweep = sweep_over(self.database, chosen)
        async with background(sweep.run()):
            yield sweep

    def sweep(self, **settings: Any) -> Sweep:
        """Make a sweep whose steps the test takes."""
        chosen = self.settings.model_copy(update=settings)
        return sweep_over(self.database, chosen)

    # ── the client's part ────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, prompt: Prompt, **body: Any) -> ResponseId:
        """Submit a response, as a gateway does."""
        made = submission(session=prompt.key, body={**prompt.body, **body})
        await self.store.submit(made)
        return made.response_id

    async def start(self, prompt: Prompt, **body: Any) -> ResponseId:
        """Submit a response and wait until its request is open at the model server."""
        response_id = await self.create(prompt, **body)
        await self.meter.opened(prompt.key)
        return response_id

    async def speaking(self, prompt: Prompt, **body: Any) -> ResponseId:
        """Submit a response and wait until some of its text is logged."""
        response_id = await self.start(prompt, **body)
        await wait_until(lambda: self._has_text(response_id))
        return response_id

    async def _has_text(self, response_id: ResponseId) -> bool:
        return any("delta" in event for event in await self.log(response_id))

    async def stop(self, response_id: ResponseId) -> StopReceipt:
        """Record a stop, as a gateway does."""
        return await self.store.stop(response_id, ANONYMOUS, by="client", reason="test")

    async def job(self, response_id: ResponseId) -> JobView:
        """Read a job that is there."""
        job = await self.store.job(response_id)
        assert job is not None
        return job

    async def log(self, response_id: ResponseId) -> list[dict[str, Any]]:
        """Read the log; its numbers are its indexes, always."""
        events = [decode(frame) for frame in await self.store.log_slice(response_id, 0, -1)]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        return events

    async def text(self, response_id: ResponseId) -> str:
        """Join the text that the log holds."""
        return "".join(e["delta"] for e in await self.log(response_id) if e["type"] == "response.output_text.delta")

    async def ending(self, response_id: ResponseId, timeout_s: float = _END_S) -> dict[str, Any]:
        """Wait for the ending; return its Response. Asserts that it is the only one."""
        await wait_until(lambda: self._has_ended(response_id), timeout_s=timeout_s)
        events = await self.log(response_id)
        terminal = [e for e in events if e["type"] in {"response.completed", "response.incomplete", "response.failed"}]
        assert terminal == events[-1:]
        response: dict[str, Any] = terminal[0]["response"]
        return response

    async def _has_ended(self, response_id: ResponseId) -> bool:
        return (await self.job(response_id)).state == "ended"


def said(response: dict[str, Any]) -> str:
    """Join the text of a Response's output."""
    parts = (part for item in response["output"] for part in item.get("content") or ())
    return "".join(part.get("text", "") for part in parts)
