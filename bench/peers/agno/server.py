"""A minimal server around that flag: each replica runs what its own sockets ask for, and sends it straight to them."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from openai import AsyncOpenAI

from bench.peers.agno import cancellation

app = FastAPI()
client = AsyncOpenAI()
runs: set[asyncio.Task[None]] = set()


async def model_events(prompt: str) -> AsyncIterator[str]:
    """Yield the text of each chunk, as the SDK gives it."""
    async for chunk in await client.chat.completions.create(
        model="bench",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


async def send(websocket: WebSocket, **message: str) -> None:
    """Send one event; a client that has gone away is no reason to end its run."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(json.dumps(message))


async def run(websocket: WebSocket, run_id: str, prompt: str) -> None:
    """Run to the end, or to the first event after the flag was set."""
    await cancellation.register(run_id)
    try:
        await cancellation.raise_if_cancelled(run_id)
        async for text in model_events(prompt):
            await cancellation.raise_if_cancelled(run_id)
            await send(websocket, type="token", id=run_id, text=text)
        await cancellation.raise_if_cancelled(run_id)
        await send(websocket, type="done", id=run_id, reason="completed")
    except cancellation.RunCancelledError:
        await send(websocket, type="done", id=run_id, reason="stopped")
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
        await send(websocket, type="error", id=run_id, message=str(error))
    finally:
        await cancellation.forget(run_id)


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """Start and stop for one client. agno's AgentOS takes both as POST requests, and answers in SSE."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            message = json.loads(await websocket.receive_text())
            if message["type"] == "stop":
                await cancellation.cancel(message["id"])
                await send(websocket, type="stopping", id=message["id"])
            else:
                run_id = str(uuid.uuid4())
                await send(websocket, type="started", id=run_id)
                task = asyncio.create_task(run(websocket, run_id, message["prompt"]))
                runs.add(task)
                task.add_done_callback(runs.discard)
