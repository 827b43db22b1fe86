"""The naive gateway: a FastAPI WebSocket, with a Redis pub/sub connection of its own for each socket."""

import asyncio
import json
import os
import uuid

import redis.asyncio as redis
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio.client import PubSub

NAMESPACE = os.environ["NAMESPACE"]  # of this cast's names in a Redis that others use too

app = FastAPI()
# More than the default of 100 connections, which 100 sockets would use up.
db = redis.from_url(os.environ["REDIS_URL"], decode_responses=True, max_connections=20_000)


async def forward(pubsub: PubSub, websocket: WebSocket) -> None:
    """Send everything that is published for this socket's chats to the client."""
    async for message in pubsub.listen():
        if message["type"] == "message":
            await websocket.send_text(message["data"])


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """Start, join and stop chats for one client."""
    await websocket.accept()
    pubsub = db.pubsub()
    forwarder: asyncio.Task[None] | None = None
    try:
        while True:
            message = json.loads(await websocket.receive_text())
            if message["type"] == "stop":
                await db.publish(f"{NAMESPACE}:stop", message["id"])
                await websocket.send_text(json.dumps({"type": "stopping", "id": message["id"]}))
                continue
            job_id = message["id"] if message["type"] == "join" else uuid.uuid4().hex
            await pubsub.subscribe(f"{NAMESPACE}:chat:{job_id}")
            if forwarder is None:
                forwarder = asyncio.create_task(forward(pubsub, websocket))
            if message["type"] == "start":
                await websocket.send_text(json.dumps({"type": "started", "id": job_id}))
                await db.rpush(f"{NAMESPACE}:jobs", json.dumps({"id": job_id, "prompt": message["prompt"]}))
    except WebSocketDisconnect:
        pass
    finally:
        if forwarder is not None:
            forwarder.cancel()
        await pubsub.aclose()  # type: ignore[no-untyped-call]
