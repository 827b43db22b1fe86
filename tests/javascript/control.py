"""Control: what a test on Node may ask of the stack that it runs against.

Owns a port on which JSON lines are asked and answered, one after another, and the networks in front of the gateways.
Guarantees: an error here is the answer's, and fails the test that asked.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import redis.asyncio

from tests.javascript.network import Network
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_LOG_S = 20.0


class Control:
    """Answers one script. `port` is where."""

    def __init__(self, stack: Stack, networks: list[Network]) -> None:
        self.port = 0
        self._stack = stack
        self._networks = networks
        self._prompts: dict[str, Prompt] = {}
        self._commands: dict[str, Callable[..., Awaitable[Any]]] = {
            "where": self._where,
            "prompt": self._prompt,
            "asked": self._asked,
            "network": self._network,
            "gateway": self._gateway,
            "logged": self._logged,
            "lose": self._lose,
        }

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's commands, to its end."""
        try:
            while line := await reader.readline():
                asked = msgspec.json.decode(line)
                try:
                    reply = {"answer": await self._commands[asked["do"]](**asked["with"])}
                except Exception as error:  # noqa: BLE001  the asking test is told, and fails
                    reply = {"error": repr(error)}
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # the script has ended
        finally:
            writer.close()

    async def _where(self) -> list[str]:
        """Tell the addresses of the gateways, each behind its network."""
        return [f"http://127.0.0.1:{network.port}" for network in self._networks]

    async def _prompt(self, **members: Any) -> dict[str, Any]:
        """Make a prompt: the body of its create, and the text of the answer."""
        prompt = Prompt(**members)
        self._prompts[prompt.key] = prompt
        return {"key": prompt.key, "body": prompt.body, "text": prompt.text()}

    async def _asked(self, key: str) -> dict[str, Any]:
        """Wait until what was asked of the model has ended: how often it was asked, and whether we closed it."""
        reading = await self._stack.meter.read(key, "idle")
        return {"requests": len(reading.requests), "closed": any(one.client_closed for one in reading.requests)}

    async def _network(self, gateway: int, mode: str, **members: Any) -> int:
        """Set a gateway's network to a mode; return how many connections it has accepted so far."""
        network = self._networks[gateway]
        if mode != "count":
            getattr(network, mode)(**members)
        return network.accepted

    async def _gateway(self, gateway: int, signal_name: str) -> None:
        """Send a gateway a signal; after SIGTERM its end is expected."""
        process = self._stack.gateways[gateway]
        process.end_is_expected = process.end_is_expected or signal_name == "SIGTERM"
        process.send_signal(signal.Signals[signal_name])

    async def _logged(self, gateway: int, event: str) -> None:
        """Wait until a gateway has logged an event."""
        process = self._stack.gateways[gateway]
        await wait_until(lambda: process.log_events(event), _LOG_S, what=f"{process.name} logs {event}")

    async def _lose(self, containing: str) -> int:
        """Have the store lose every key with this in its name, and its subscribers, as a failover does."""
        async with redis.asyncio.Redis.from_url(self._stack.valkey.url) as client:
            keys = [key async for key in client.scan_iter(match=f"*{containing}*", count=1000)]
            lost = int(await client.unlink(*keys)) if keys else 0
            await client.client_kill_filter(_type="pubsub")
            return lost


@contextlib.asynccontextmanager
async def controlled(stack: Stack) -> AsyncIterator[Control]:
    """Put a network in front of each gateway, and answer, for the length of a block."""
    async with contextlib.AsyncExitStack() as opened:
        networks = [await opened.enter_async_context(Network(gateway.port).open()) for gateway in stack.gateways]
        control = Control(stack, networks)
        server = await asyncio.start_server(control.answer, "127.0.0.1", 0)
        control.port = server.sockets[0].getsockname()[1]
        try:
            yield control
        finally:
            server.close()
            await server.wait_closed()
