"""Service: the whole nest of a worker process.

Owns what outlives a worker id: the connections to Redis, the client of the model server, the shutdown.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final, NoReturn

import structlog

from andon import usage
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.exporting import exporting
from andon.garbage import look_seldom
from andon.ids import WorkerId, new_worker_id
from andon.lifetime import background
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from andon.sweep import Sweep
from andon.telemetry import SILENT
from andon.trail import Trail
from worker.beat import RENEWALS_A_LEASE
from worker.life import Life
from worker.metrics import WorkerMetrics
from worker.metrics_door import MetricsDoor
from worker.shutdown import Shutdown
from worker.upstream.client import UpstreamClient
from worker.upstream.own.function import find_function
from worker.upstream.own.source import OwnSource
from worker.upstream.source import OpenAISource, Source

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 5.0
_REBIRTH_BACKOFF_S = 0.2
EXIT_CODE_WORN_OUT: Final = 75  # sysexits' EX_TEMPFAIL: it drained in order, and a fresh process should take its place


async def serve(settings: Settings) -> int:
    """Run a worker until it is told to end, and return its exit code. Raises StartError if it cannot start."""
    # One for the process, whose worker ids may change.
    process_id = new_worker_id()
    async with exporting("andon-worker", process_id):
        source = await _serve(settings, process_id)
    worn_out = isinstance(source, OwnSource) and source.worn_out
    _log.info("worker.ended", left_behind=source.left_behind)
    if source.left_behind:
        # The event loop would wait for ever for tasks that swallow their cancellation.
        _end_process(EXIT_CODE_WORN_OUT if worn_out else 0)
    return EXIT_CODE_WORN_OUT if worn_out else 0


async def _serve(settings: Settings, process_id: WorkerId) -> Source:
    """Live one life after another until told to end; return the source that was used."""
    usage.warm()
    # A command that hangs must not cost the lease: several tries fit into it.
    timeout_s = min(settings.command_timeout_s, settings.lease_s / RENEWALS_A_LEASE)
    database = Database(settings.redis_url, timeout_s=timeout_s)
    reader = Database(settings.redis_url, timeout_s=timeout_s)
    with Shutdown().on_signals() as shutdown:
        async with database.open(), reader.open(), open_source(settings, shutdown.request) as source:
            await database.wait_connected(_START_TIMEOUT_S)
            metrics = None if settings.metrics_port is None else WorkerMetrics(database, settings)
            telemetry = SILENT if metrics is None else metrics
            store = Store(database, settings, telemetry=telemetry)
            shipper = Shipper(database, store.places)
            trail = Trail(store, process=process_id)
            sweep = Sweep(database, settings, store=store, shipper=shipper, trail=trail)
            async with background(shipper.run(), sweep.run(), trail.run()), _shown(metrics, settings):
                look_seldom()
                while not shutdown.requested:
                    life = Life(
                        database=database,
                        reader=reader,
                        source=source,
                        settings=settings,
                        shutdown=shutdown,
                        rescuer=sweep.rescuer,
                        on_settled=shipper.note,
                        trail=trail,
                        telemetry=telemetry,
                    )
                    await _live(life)
    return source


@contextlib.asynccontextmanager
async def _shown(metrics: WorkerMetrics | None, settings: Settings) -> AsyncIterator[None]:
    """Answer scrapes for as long as the context lasts, where a port is set. Raises StartError if it is taken."""
    if metrics is None or settings.metrics_port is None:
        yield
        return
    door = MetricsDoor(metrics.exposition, metrics.is_well)
    async with door.open(settings.metrics_host, settings.metrics_port) as port, background(metrics.pulse.run()):
        _log.info("worker.metrics", host=settings.metrics_host, port=port)
        yield


def _end_process(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _live(life: Life) -> None:
    try:
        await life.run()
    except StoreUnavailable as error:
        _log.warning("worker.not_begun", error=str(error))
        await asyncio.sleep(_REBIRTH_BACKOFF_S)


@contextlib.asynccontextmanager
async def open_source(settings: Settings, on_worn_out: Callable[[], None]) -> AsyncIterator[Source]:
    """Open the model server's client, or find the function in its place. Raises StartError if it will never do.

    `on_worn_out` is called when this process should give way to a fresh one.
    """
    if settings.upstream_api not in {"responses", "chat"}:
        function = find_function(settings.upstream_api)
        async with OwnSource(function, gap_s=settings.upstream_gap_s, on_worn_out=on_worn_out) as own:
            yield own
        return
    async with UpstreamClient(
        max_connections=settings.worker_concurrency + 8,
        read_timeout_s=settings.upstream_gap_s,
        transport=settings.upstream_transport,
    ) as client:
        yield OpenAISource(
            client,
            "chat" if settings.upstream_api == "chat" else "responses",
            running_usage=settings.upstream_running_usage,
        )
