"""Crowd: many live responses, for an operator to look at and stop."""

import asyncio
from typing import Final

import httpx2

from tests.stack.stack import Stack

# At 2 tokens a second: for longer than any test.
_ENDLESS: Final = 2_000
_AT_ONCE: Final = 10


class Crowd:
    """Responses that never end by themselves, each in a session of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ids: list[str] = []

    async def start(self, name: str, count: int, model: str = "sim-slow") -> list[str]:
        """Start responses in sessions `NAME-0`, `NAME-1`, ...; return their ids."""
        limit = asyncio.Semaphore(_AT_ONCE)
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=60.0) as http:

            async def one(number: int) -> str:
                steering = {"sim_tokens": str(_ENDLESS), **({} if model == "sim-slow" else {"sim_rate": "2"})}
                body = {"model": model, "input": name, "background": True, "metadata": steering}
                async with limit:
                    url = f"{self._stack.gateways[number % 2].http}/v1/responses?session={name}-{number}"
                    reply = await http.post(url, json=body)
                assert reply.status_code == 200, reply.text
                return str(reply.json()["id"])

            ids = await asyncio.gather(*map(one, range(count)))
        self._ids += ids
        return ids

    async def status(self, response_id: str) -> str:
        """Read how a response is."""
        reply = await self._stack.gateways[0].get(f"/v1/responses/{response_id}")
        return str(reply.json()["status"])

    async def end(self) -> None:
        """Stop all of them that are still live."""
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=60.0) as http:
            url = f"{self._stack.gateways[0].http}/v1/admin/stops"
            reply = await http.post(url, json={"scope": {"all": True}, "wait": True})
            assert reply.status_code in {200, 202}, reply.text
