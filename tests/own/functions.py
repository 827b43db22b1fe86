"""Functions that a worker runs as its model: what each request asks for by `metadata["do"]`.

They tell the test what happens to them through files: one a thing that happened, in `OWN_NOTES`, named by the request's
`key`. So what a killed or stubborn function did can be seen from outside.
"""

import asyncio
import contextvars
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from openai.types.responses import ResponseTextDeltaEvent

SECRET = "sk-own-source-secret"
_PLACE: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="outside")


def _note(request: dict[str, Any], what: str, told: object = None) -> None:
    home = Path(os.environ["OWN_NOTES"])
    partial = home / f"{request['metadata']['key']}.{what}.partial"
    partial.write_bytes(msgspec.json.encode(told))
    partial.rename(partial.with_suffix(""))


async def answer(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Do what the request's metadata says."""
    async with aclosing(_ACTS[request["metadata"]["do"]](request)) as values:
        async for value in values:
            yield value


async def _echo(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    _note(request, "request", request)
    for word in ("Hello", "", ", ", "world"):
        yield word
        await asyncio.sleep(0)


async def _forever(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Say something, then wait for a stop; note in which task and context the cleaning-up runs."""
    _PLACE.set("inside")
    begun_in = asyncio.current_task()
    try:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(3600))
            yield "begun"
            await child
    except asyncio.CancelledError:
        _note(request, "cancelled")
        raise
    finally:
        await asyncio.sleep(0)
        _note(request, "finally", {"place": _PLACE.get(), "same_task": asyncio.current_task() is begun_in})


async def _silent(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Say nothing at all, until it is stopped."""
    try:
        await asyncio.sleep(3600)
        yield ""
    finally:
        _note(request, "finally")


async def _chatty(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Be nearly always at a `yield`: held back there, since it says more than can be taken."""
    _PLACE.set("inside")
    begun_in = asyncio.current_task()
    try:
        while True:
            for _ in range(1000):
                yield "word "
            await asyncio.sleep(0.01)
    finally:
        _note(request, "finally", {"place": _PLACE.get(), "same_task": asyncio.current_task() is begun_in})


async def _stubborn(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Swallow every cancellation and go on, without ever yielding again."""
    yield "begun"
    while not (Path(os.environ["OWN_NOTES"]) / "release").exists():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            _note(request, "swallowed")


async def _deaf(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Swallow the cancellation and say something more."""
    try:
        yield "begun"
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            _note(request, "swallowed")
        yield "never to be seen"
        _note(request, "resumed")
    finally:
        _note(request, "finally")


@asynccontextmanager
async def _slowly_closed(request: dict[str, Any]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.sleep(1.5)  # longer than the grace
        _note(request, "closed")


async def _slow_to_close(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    async with _slowly_closed(request):
        yield "begun"
        await asyncio.sleep(3600)


async def _raises(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
    yield "before"
    raise LookupError(f"no such thing: {SECRET}")


async def _raises_at_once(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    with (Path(os.environ["OWN_NOTES"]) / f"{request['metadata']['key']}.tries").open("a") as tries:
        tries.write("x")
    if request:
        raise ExceptionGroup("several", [msgspec.DecodeError(SECRET), ValueError(SECRET)])
    yield ""


async def _exits(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    yield request["model"]
    sys.exit("as a command would")


async def _cancels_itself(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    yield request["model"]
    raise asyncio.CancelledError


async def _number(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
    yield "before"
    yield 42
    _note(request, "resumed")


async def _unknown(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
    yield {"type": "response.output_txt.delta", "delta": SECRET}


async def _agent(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Text, a tool call, the SDK's own objects, running usage."""
    yield "Looking it up."
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": 0, "item": call}
    yield {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a":1}'}
    yield {"type": "response.output_item.done", "output_index": 0, "item": {**call, "arguments": '{"a":1}'}}
    message = {"type": "message", "id": "msg_own", "role": "assistant", "content": []}
    yield {"type": "response.output_item.added", "item": message}
    yield {"type": "response.content_part.added", "item_id": "msg_own", "part": {"type": "output_text", "text": ""}}
    yield ResponseTextDeltaEvent.construct(
        type="response.output_text.delta", item_id="msg_own", delta="Found.", sequence_number=7, logprobs=[]
    )
    part = {"type": "output_text", "text": "Found."}
    yield {"type": "response.output_item.done", "item": {**message, "content": [part]}}
    yield {"type": "response.in_progress", "response": {"usage": {"input_tokens": 11, "output_tokens": 7}}}
    yield " Done."


async def _counts(_: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Tell the usage so far, then wait for a stop."""
    yield "begun"
    yield {"type": "response.in_progress", "response": {"usage": {"input_tokens": 3, "output_tokens": 1}}}
    yield " and counted"
    await asyncio.sleep(3600)


_ACTS = {
    "agent": _agent,
    "cancels_itself": _cancels_itself,
    "chatty": _chatty,
    "counts": _counts,
    "deaf": _deaf,
    "echo": _echo,
    "exits": _exits,
    "forever": _forever,
    "number": _number,
    "raises": _raises,
    "raises_at_once": _raises_at_once,
    "silent": _silent,
    "slow_to_close": _slow_to_close,
    "stubborn": _stubborn,
    "unknown": _unknown,
}
