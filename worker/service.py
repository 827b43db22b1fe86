"""Service: the whole nest of a worker process.

Owns what outlives a worker id: the connections to Redis, the client of the model server, the shutdown.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from andon import usage
from andon.database import Database
from andon.errors import StartError, StoreUnavailable
from andon.ids import new_worker_id
from andon.lifetime import background
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from andon.sweep import Sweep
from andon.trail import Trail
from worker.beat import RENEWALS_A_LEASE
from worker.life import Life
from worker.shutdown import Shutdown
from worker.upstream.client import UpstreamClient
from worker.upstream.source import OpenAISource, Source

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 5.0
_REBIRTH_BACKOFF_S = 0.2


async def serve(settings: Settings) -> None:
    """Run a worker until it is told to end. Raises StartError if it cannot start."""
    usage.warm()
    # A command that hangs must not cost the lease: several tries fit into it.
    timeout_s = min(settings.command_timeout_s, settings.lease_s / RENEWALS_A_LEASE)
    database = Database(settings.redis_url, timeout_s=timeout_s)
    reader = Database(settings.redis_url, timeout_s=timeout_s)
    with Shutdown().on_signals() as shutdown:
        async with database.open(), reader.open(), open_source(settings) as source:
            await database.wait_connected(_START_TIMEOUT_S)
            store = Store(database, settings)
            shipper = Shipper(database, store.places)
            # One for the process, whose worker ids may change.
            trail = Trail(store, process=new_worker_id())
            sweep = Sweep(database, settings, store=store, shipper=shipper, trail=trail)
            async with background(shipper.run(), sweep.run(), trail.run()):
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
                    )
                    await _live(life)
    _log.info("worker.ended")


async def _live(life: Life) -> None:
    try:
        await life.run()
    except StoreUnavailable as error:
        _log.warning("worker.not_begun", error=str(error))
        await asyncio.sleep(_REBIRTH_BACKOFF_S)


@contextlib.asynccontextmanager
async def open_source(settings: Settings) -> AsyncIterator[Source]:
    """Open the model server's client. Raises StartError if its settings will never do."""
    if settings.upstream_api not in {"responses", "chat"}:
        raise StartError(
            f"ANDON_UPSTREAM_API={settings.upstream_api}: a source of your own is not supported yet; "
            "use `responses` or `chat`"
        )
    async with UpstreamClient(
        max_connections=settings.worker_concurrency + 8, read_timeout_s=settings.upstream_gap_s
    ) as client:
        yield OpenAISource(
            client,
            "chat" if settings.upstream_api == "chat" else "responses",
            running_usage=settings.upstream_running_usage,
        )
