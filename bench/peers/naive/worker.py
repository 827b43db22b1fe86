"""The naive worker: takes jobs from a Redis list, streams with the SDK's objects, publishes each token."""

import asyncio
import json
import os

import redis.asyncio as redis
import uvloop
from openai import AsyncOpenAI

from bench.peers.programs import READY_LINE

NAMESPACE = os.environ["NAMESPACE"]  # of this cast's names in a Redis that others use too

client = AsyncOpenAI()
# More than the default of 100 connections: each stream publishes for itself.
db = redis.from_url(os.environ["REDIS_URL"], decode_responses=True, max_connections=20_000)
tasks: dict[str, asyncio.Task[None]] = {}


async def stream_job(job_id: str, prompt: str) -> None:
    """Stream one answer to the job's channel."""
    channel = f"{NAMESPACE}:chat:{job_id}"
    try:
        async for chunk in await client.chat.completions.create(
            model="bench", messages=[{"role": "user", "content": prompt}], stream=True
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                text = chunk.choices[0].delta.content
                await db.publish(channel, json.dumps({"type": "token", "id": job_id, "text": text}))
        await db.publish(channel, json.dumps({"type": "done", "id": job_id, "reason": "completed"}))
    except asyncio.CancelledError:
        await db.publish(channel, json.dumps({"type": "done", "id": job_id, "reason": "stopped"}))
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
        await db.publish(channel, json.dumps({"type": "error", "id": job_id, "message": str(error)}))
    finally:
        tasks.pop(job_id, None)


async def hear_stops() -> None:
    """Cancel the task of each job whose id is published on `stop`; every worker hears every stop."""
    pubsub = db.pubsub()
    await pubsub.subscribe(f"{NAMESPACE}:stop")
    async for message in pubsub.listen():
        if message["type"] == "message" and (task := tasks.get(message["data"])):
            task.cancel()


async def main() -> None:
    """Take jobs for ever."""
    listener = asyncio.create_task(hear_stops())
    await db.ping()
    print(READY_LINE)
    while not listener.done():
        # Waits for less than the connection's own time-out of 5 s, after which redis-py raises.
        if popped := await db.blpop([f"{NAMESPACE}:jobs"], timeout=1):
            job = json.loads(popped[1])
            tasks[job["id"]] = asyncio.create_task(stream_job(job["id"], job["prompt"]))


if __name__ == "__main__":
    uvloop.run(main())
