"""Departure: the client closing the connection, noticed while something is done for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; if the client leaves first, cancel it and raise Starlette's ClientDisconnect.

    The request's body must have been read. Work that is done at the same moment counts as done. Cancelling the wait
    cancels the work: it is no departure.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        leaving.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    # Whatever else a client sends while something is done for it is for nobody.
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass
