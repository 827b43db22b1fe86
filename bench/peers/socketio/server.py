"""The python-socketio server: each process streams what its own sockets ask for, and emits token by token to a room."""

import asyncio
import os
import uuid
from typing import Any

import redis.asyncio as redis
import socketio
from openai import AsyncOpenAI

NAMESPACE = os.environ["NAMESPACE"]  # of this cast's names in a Redis that others use too

# More than the default of 100 connections: each stream publishes for itself.
manager = socketio.AsyncRedisManager(
    os.environ["REDIS_URL"], channel=f"{NAMESPACE}:socketio", redis_options={"max_connections": 20_000}
)
sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager)
db = redis.from_url(os.environ["REDIS_URL"], decode_responses=True, max_connections=20_000)
client = AsyncOpenAI()
tasks: dict[str, asyncio.Task[None]] = {}


async def stream(response_id: str, prompt: str) -> None:
    """Stream one answer to its room."""
    try:
        async with await client.chat.completions.create(
            model="bench", messages=[{"role": "user", "content": prompt}], stream=True
        ) as chunks:
            async for chunk in chunks:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    await sio.emit("token", {"id": response_id, "text": text}, room=response_id)
        await sio.emit("done", {"id": response_id, "reason": "completed"}, room=response_id)
    except asyncio.CancelledError:
        await sio.emit("done", {"id": response_id, "reason": "stopped"}, room=response_id)
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
        await sio.emit("failed", {"id": response_id, "message": str(error)}, room=response_id)
    finally:
        tasks.pop(response_id, None)


@sio.event
async def start(sid: str, data: dict[str, Any]) -> None:
    """Start a response; the socket is the first in its room."""
    response_id = uuid.uuid4().hex
    await sio.enter_room(sid, response_id)
    await sio.emit("started", {"id": response_id}, to=sid)
    tasks[response_id] = sio.start_background_task(stream, response_id, data["prompt"])


@sio.event
async def join(sid: str, data: dict[str, Any]) -> None:
    """Let a socket, of any process, into a response's room."""
    await sio.enter_room(sid, data["id"])


@sio.event
async def stop(sid: str, data: dict[str, Any]) -> None:
    """Stop a response: here, or else wherever it runs. The manager carries emits, not calls; hence a channel beside."""
    if task := tasks.get(data["id"]):
        task.cancel()
    else:
        await db.publish(f"{NAMESPACE}:stop", data["id"])
    await sio.emit("stopping", {"id": data["id"]}, to=sid)


async def hear_stops() -> None:
    """Cancel the task of each response whose id is published on `stop`; every process hears every stop."""
    pubsub = db.pubsub()
    await pubsub.subscribe(f"{NAMESPACE}:stop")
    async for message in pubsub.listen():
        if message["type"] == "message" and (task := tasks.get(message["data"])):
            task.cancel()


async def on_startup() -> None:
    """Listen for stops as long as the process runs."""
    tasks["stops"] = sio.start_background_task(hear_stops)


app = socketio.ASGIApp(sio, on_startup=on_startup)
