"""A minimal server around that stop: each replica streams what its own sockets ask for, in a task of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from openai import AsyncOpenAI

from bench.peers.open_webui import tasks

client = AsyncOpenAI()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Hear commands from the start."""
    tasks.start_listening()
    yield


app = FastAPI(lifespan=lifespan)


async def send(websocket: WebSocket, **message: str) -> None:
    """Send one event; a client that has gone away is no reason to end its task."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(orjson.dumps(message).decode())


async def stream(websocket: WebSocket, task_id: str, prompt: str) -> None:
    """Stream one answer: lines of the response's body, each parsed to a dict, as Open WebUI does it."""
    try:
        async with client.chat.completions.with_streaming_response.create(
            model="bench", messages=[{"role": "user", "content": prompt}], stream=True
        ) as response:
            async for line in response.iter_lines():
                if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
                    continue
                choices = orjson.loads(data).get("choices")
                if choices and (text := choices[0]["delta"].get("content")):
                    await send(websocket, type="token", id=task_id, text=text)
        await send(websocket, type="done", id=task_id, reason="completed")
    except asyncio.CancelledError:
        # The body was closed by the block above; the client is told even if another cancel comes.
        await asyncio.shield(send(websocket, type="done", id=task_id, reason="stopped"))
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
        await send(websocket, type="error", id=task_id, message=str(error))


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """Start and stop for one client. Open WebUI takes both as POST requests; nothing of that is left here."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            message = orjson.loads(await websocket.receive_text())
            if message["type"] == "stop":
                await tasks.stop(message["id"])
                await send(websocket, type="stopping", id=message["id"])
            else:
                task_id, chat_id = str(uuid.uuid4()), str(uuid.uuid4())
                await send(websocket, type="started", id=task_id)
                await tasks.create(task_id, chat_id, stream(websocket, task_id, message["prompt"]))
