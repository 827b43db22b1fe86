"""The gateway: Starlette WebSockets, all served by the process' one pub/sub connection."""

import asyncio
import json
import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import redis.asyncio as redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

NAMESPACE = os.environ["NAMESPACE"]  # of this cast's names in a Redis that others use too

# Without `socket_timeout`, which on Python 3.11 wraps each send in an `asyncio.wait_for` that may lose a cancel.
db = redis.from_url(os.environ["REDIS_URL"], decode_responses=True, socket_timeout=None, max_connections=20_000)
pubsub = db.pubsub()
sockets: defaultdict[str, list[WebSocket]] = defaultdict(list)
subscribed: dict[str, asyncio.Event] = {}

# KEYS: the job. ARGV: its id; the prefix of the workers' channels. Marks the job as stopped, and tells its worker, if
# it has one.
stop_script = db.register_script(
    """
    redis.call('HSET', KEYS[1], 'stop', '1')
    redis.call('EXPIRE', KEYS[1], 600)
    local worker = redis.call('HGET', KEYS[1], 'worker')
    return worker and redis.call('PUBLISH', ARGV[2] .. worker, ARGV[1])
    """
)


async def listen() -> None:
    """Forward each message to the sockets of its job, as it is."""
    async for message in pubsub.listen():
        channel = message["channel"]
        if message["type"] == "subscribe" and channel in subscribed:
            subscribed.pop(channel).set()
        elif message["type"] == "message":
            for socket in tuple(sockets.get(channel, ())):
                with suppress(WebSocketDisconnect, RuntimeError):
                    await socket.send_text(message["data"])
            if message["data"].startswith('{"type": "done"'):
                sockets.pop(channel, None)
                await pubsub.unsubscribe(channel)


async def follow(channel: str, socket: WebSocket) -> None:
    """Let a socket have what is published from now on; returns once Redis has confirmed it."""
    sockets[channel].append(socket)
    if len(sockets[channel]) == 1:
        subscribed[channel] = confirmed = asyncio.Event()
        await pubsub.subscribe(channel)
        await confirmed.wait()


async def chat(socket: WebSocket) -> None:
    """Start, join and stop responses for one client."""
    await socket.accept()
    channels: set[str] = set()
    with suppress(WebSocketDisconnect):
        while True:
            message = json.loads(await socket.receive_text())
            if message["type"] == "stop":
                await stop_script(
                    keys=[f"{NAMESPACE}:job:{message['id']}"], args=[message["id"], f"{NAMESPACE}:worker:"]
                )
                await socket.send_text(json.dumps({"type": "stopping", "id": message["id"]}))
                continue
            job_id = message["id"] if message["type"] == "join" else uuid.uuid4().hex
            channels.add(channel := f"{NAMESPACE}:tokens:{job_id}")
            await follow(channel, socket)
            if message["type"] == "start":
                await socket.send_text(json.dumps({"type": "started", "id": job_id}))
                await db.rpush(f"{NAMESPACE}:jobs", json.dumps({"id": job_id, "prompt": message["prompt"]}))
    for channel in channels & sockets.keys():
        sockets[channel].remove(socket)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Listen as long as the process runs."""
    await pubsub.subscribe(f"{NAMESPACE}:gateways")  # so that there is something to listen to
    listener = asyncio.create_task(listen())
    yield
    listener.cancel()


app = Starlette(routes=[WebSocketRoute("/ws", chat)], lifespan=lifespan)
