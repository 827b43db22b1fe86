"""The worker: the SDK's objects, each token logged and published in one pipeline; a stop comes on a channel of its own.

Guarantees: a job that was stopped before its claim is not run; a stop closes the upstream connection at once.
"""

import asyncio
import json
import os
import uuid

import redis.asyncio as redis
import uvloop
from openai import AsyncOpenAI

from bench.peers.programs import READY_LINE

NAMESPACE = os.environ["NAMESPACE"]  # of this cast's names in a Redis that others use too
LOG_TTL_S = 600

client = AsyncOpenAI()
# Without `socket_timeout`, which on Python 3.11 wraps each send in an `asyncio.wait_for` that may lose a cancel.
db = redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=None, max_connections=20_000)
worker_id = uuid.uuid4().hex
tasks: dict[str, asyncio.Task[None]] = {}


async def tell(job_id: str, **message: str) -> None:
    """Log an event, and publish it."""
    frame = json.dumps(message | {"id": job_id})
    async with db.pipeline(transaction=False) as pipe:
        pipe.xadd(f"{NAMESPACE}:log:{job_id}", {"event": frame})
        pipe.publish(f"{NAMESPACE}:tokens:{job_id}", frame)
        await pipe.execute()


async def stream(job_id: str, prompt: str) -> None:
    """Stream one answer, unless it has been stopped already."""
    async with db.pipeline() as pipe:
        pipe.hset(f"{NAMESPACE}:job:{job_id}", "worker", worker_id)
        pipe.expire(f"{NAMESPACE}:job:{job_id}", LOG_TTL_S)
        pipe.expire(f"{NAMESPACE}:log:{job_id}", LOG_TTL_S)
        pipe.hget(f"{NAMESPACE}:job:{job_id}", "stop")
        if (await pipe.execute())[-1]:
            await tell(job_id, type="done", reason="stopped")
            return
    async with await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": prompt}], stream=True
    ) as chunks:
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                await tell(job_id, type="token", text=text)
    await tell(job_id, type="done", reason="completed")


async def run(job_id: str, prompt: str) -> None:
    """See a job to its end, whatever that is."""
    try:
        await stream(job_id, prompt)
    except asyncio.CancelledError:
        await tell(job_id, type="done", reason="stopped")
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
        await tell(job_id, type="error", message=str(error))
    finally:
        tasks.pop(job_id, None)
        await db.expire(f"{NAMESPACE}:log:{job_id}", LOG_TTL_S)


async def hear_stops(ready: asyncio.Event) -> None:
    """Cancel the task of each job whose id is published to this very worker."""
    pubsub = db.pubsub()
    await pubsub.subscribe(f"{NAMESPACE}:worker:{worker_id}")
    async for message in pubsub.listen():
        if message["type"] == "subscribe":
            ready.set()
        elif task := tasks.get(message["data"]):
            task.cancel()


async def main() -> None:
    """Take jobs for ever."""
    ready = asyncio.Event()
    listener = asyncio.create_task(hear_stops(ready))
    await ready.wait()
    print(READY_LINE)
    while not listener.done():
        if popped := await db.blpop([f"{NAMESPACE}:jobs"], timeout=1):
            job = json.loads(popped[1])
            tasks[job["id"]] = asyncio.create_task(run(job["id"], job["prompt"]))


if __name__ == "__main__":
    uvloop.run(main())
