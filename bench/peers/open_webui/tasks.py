"""The registry of running tasks, and the command channel by which any replica stops any of them.

Built from a description of what `backend/open_webui/tasks.py` of Open WebUI 0.12.4 does: the same commands reach Redis
in the same order. README.md beside this file says what that is.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import orjson
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

KEYS = f"{os.environ['NAMESPACE']}:tasks"
COMMANDS = f"{KEYS}:commands"
TASK_TTL_S = 300

db = redis.from_url(
    os.environ["REDIS_URL"],
    decode_responses=True,
    retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    max_connections=20_000,  # theirs is the default, 100, which 1,000 starts or stops at once would exceed
)
local: dict[str, asyncio.Task[None]] = {}
_background: set[asyncio.Task[Any]] = set()


def start_listening() -> None:
    """Run what a replica runs all its life: the listener, and the heartbeat of its tasks."""
    _spawn(_hear_commands())
    _spawn(_heartbeat())


async def create(task_id: str, chat_id: str, work: Coroutine[Any, Any, None]) -> None:
    """Start a task, and enter it here and in Redis."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: _spawn(_end(task_id, chat_id)))
    local[task_id] = task
    async with db.pipeline(transaction=False) as pipe:
        pipe.set(f"{KEYS}:{task_id}", "1", ex=TASK_TTL_S)
        pipe.hset(KEYS, task_id, chat_id)
        pipe.sadd(f"{KEYS}:item:{chat_id}", task_id)
        await pipe.execute()


async def stop(task_id: str) -> None:
    """Ask every replica to cancel a task, and take it out of Redis. Nobody tells whether any replica did."""
    chat_id = await db.hget(KEYS, task_id) or ""
    assert isinstance(chat_id, str)
    await db.publish(COMMANDS, orjson.dumps({"action": "stop", "task_id": task_id}))
    await _remove(task_id, chat_id)


async def _hear_commands() -> None:
    pubsub = db.pubsub()
    await pubsub.subscribe(COMMANDS)
    async for message in pubsub.listen():
        if message["type"] != "message":
            continue
        command = orjson.loads(message["data"])
        if command["action"] == "stop" and (task := local.get(command["task_id"])):
            task.cancel()


async def _heartbeat() -> None:
    while True:
        await asyncio.sleep(TASK_TTL_S / 4)
        async with db.pipeline(transaction=False) as pipe:
            for task_id in list(local):
                pipe.expire(f"{KEYS}:{task_id}", TASK_TTL_S)
            await pipe.execute()


async def _end(task_id: str, chat_id: str) -> None:
    await _remove(task_id, chat_id)
    local.pop(task_id, None)


async def _remove(task_id: str, chat_id: str) -> None:
    async with db.pipeline(transaction=False) as pipe:
        pipe.delete(f"{KEYS}:{task_id}")
        pipe.hdel(KEYS, task_id)
        pipe.hdel(f"{KEYS}:response_streams", task_id)
        pipe.delete(f"{KEYS}:response_streams:{task_id}")
        if chat_id:
            pipe.srem(f"{KEYS}:item:{chat_id}", task_id)
        await pipe.execute()


def _spawn(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
