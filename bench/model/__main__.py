"""`python -m bench.model`: serve on a free port of 127.0.0.1, and say which; until SIGTERM.

Shows the whole nest. Beside the two APIs, the bench asks for `/bench/seen` (a JSON object: keys, each with an instant;
answers with a `Seen` each), `/bench/totals`, and `/bench/forget` (drops all records).
"""

import asyncio
import signal

import msgspec
import uvloop

from bench.model.exchange import Exchange
from bench.model.pace import Wheel
from bench.model.record import Record, Totals


class Server:
    """What all connections share. Meets `Desk`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wheel = Wheel(loop)
        self.records: dict[str, Record] = {}
        self.open = 0
        self.requests = 0
        self.tokens = 0
        self.late = 0

    def control(self, target: bytes, body: bytes) -> bytes | None:
        """Answer what the bench asks."""
        match target:
            case b"/bench/seen":
                wanted = msgspec.json.decode(body, type=dict[str, int])
                found = {key: self.records[key].seen(at) for key, at in wanted.items() if key in self.records}
                return msgspec.json.encode(found)
            case b"/bench/totals":
                totals = Totals(open=self.open, requests=self.requests, tokens=self.tokens, late=self.late)
                return msgspec.json.encode(totals)
            case b"/bench/forget":
                self.records.clear()
                return b"{}"
            case _:
                return None


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = Server(loop)
    listener = await loop.create_server(lambda: Exchange(server), "127.0.0.1", 0, backlog=4096)
    async with listener:
        print(f"model.ready {listener.sockets[0].getsockname()[1]}", flush=True)
        await over.wait()


uvloop.run(_serve())
