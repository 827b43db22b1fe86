"""A plain client of the HTTP door, and a socket that may be refused."""

from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.stack.stack import Stack

_WAIT_S = 30.0


async def post(stack: Stack, body: dict[str, Any], *, gateway: int = 0, path: str = "/v1/responses") -> httpx2.Response:
    """Send one POST."""
    async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=_WAIT_S) as http:
        return await http.post(stack.gateways[gateway].http + path, json=body)


async def post_in_background(stack: Stack, body: dict[str, Any], *, gateway: int = 0) -> httpx2.Response:
    """Create a response that nobody waits for."""
    return await post(stack, {**body, "background": True}, gateway=gateway)


async def cancel(stack: Stack, response_id: str) -> None:
    """Stop a response."""
    reply = await post(stack, {}, path=f"/v1/responses/{response_id}/cancel")
    assert reply.status_code == 200, reply.text


def check_refusal(reply: httpx2.Response, code: str, *, status: int = 429, kind: str = "rate_limit_error") -> None:
    """Assert a refusal that says when to come back."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == (code, kind)
    assert int(reply.headers["retry-after"]) >= 1


async def refused_handshake(url: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Connect where there is no room: the status, the error event and the headers of the answer."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, compression=None, proxy=None):
            pass
    reply = refused.value.response
    return reply.status_code, msgspec.json.decode(reply.body or b""), dict(reply.headers)
