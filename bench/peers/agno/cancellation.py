"""The flag by which a run is cancelled, and its reading.

Built from a description of what `agno/run/cancellation_management/redis_cancellation_manager.py` of agno 3.1.10 does:
the same commands reach Redis. README.md beside this file says what that is.
"""

import logging
import os

import redis.asyncio as redis
from redis.exceptions import RedisError

NAMESPACE = os.environ["NAMESPACE"]
TTL_S = 24 * 60 * 60

# agno is given a client by its user. More than the default of 100 connections: every run reads its flag for itself.
db = redis.from_url(os.environ["REDIS_URL"], max_connections=20_000)
_log = logging.getLogger("uvicorn.error")


class RunCancelledError(Exception):
    """The run's flag is set."""


async def register(run_id: str) -> None:
    """Enter a run as not cancelled, unless it has been cancelled already."""
    await db.set(_key(run_id), "0", ex=TTL_S, nx=True)


async def cancel(run_id: str) -> None:
    """Set the flag; whoever runs it will see."""
    async with db.pipeline() as pipe:
        pipe.exists(_key(run_id))
        pipe.set(_key(run_id), "1", ex=TTL_S)
        await pipe.execute()


async def raise_if_cancelled(run_id: str) -> None:
    """Read the flag. A Redis that can't be read means: not cancelled."""
    try:
        flag = await db.get(_key(run_id))
    except RedisError as error:
        _log.warning("the flag can't be read: %s", error)
        return
    if flag == b"1":
        raise RunCancelledError


async def forget(run_id: str) -> None:
    """Remove the flag."""
    await db.delete(_key(run_id))


def _key(run_id: str) -> str:
    return f"{NAMESPACE}:run:cancellation:{run_id}"
