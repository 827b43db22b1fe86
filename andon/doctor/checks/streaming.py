"""Streaming: whether events get through one by one, or something holds them back.

The doctor itself plays the worker (`andon.doctor.rehearsal`): it says one word and falls silent, so a proxy that waits
for more would wait for ever, and how fast a model is does not matter. No model is asked.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import httpx2

from andon.doctor.caller import principal_of
from andon.doctor.check import DATABASE, Check
from andon.doctor.finding import Finding, fail, ok, skipped
from andon.doctor.gateway import GatewayAddress, gateway_at
from andon.doctor.rehearsal import Rehearsal, Unlisted, rehearsal
from andon.doctor.site import Site
from andon.doctor.unreachable import unreachable
from andon.errors import StoreUnavailable
from andon.ids import Principal

_OPENED: Final = "response.created"
_WORD: Final = "andon"
_REMEDY: Final = "let the proxy not hold back text/event-stream (nginx: proxy_buffering off, gzip off)"


async def _look(site: Site) -> list[Finding]:
    if not site.order.gateways:
        return [skipped("no gateway was named: --gateway http://host:port")]
    principal = principal_of(site.settings, site.order.token)
    if principal is None:
        return [skipped("whose token it is cannot be told from here, so no response can be made for it")]
    gateways = [gateway_at(url, site.order.token) for url in site.order.gateways]
    return [await _look_through(gateway, site, principal) for gateway in gateways]


async def _look_through(gateway: GatewayAddress, site: Site, principal: Principal) -> Finding:
    store = Unlisted(site.database, site.settings)
    try:
        async with rehearsal(store, principal, created_at=round(time.time(), 3)) as played:
            return await _follow(gateway, played, site.order.patience_s)
    except StoreUnavailable as error:
        return fail(f"no response could be made for it: {error}", "look at what Redis refuses")
    except (httpx2.HTTPError, OSError) as error:
        return unreachable(error, where=gateway.shown, setting="--gateway")


async def _follow(gateway: GatewayAddress, played: Rehearsal, patience_s: float) -> Finding:
    held_back = fail(f"{gateway.shown}: events do not come while a response runs: something holds them back", _REMEDY)
    # Longer than our own patience, which is what judges.
    async with gateway.http(patience_s=2 * patience_s + 1) as http:
        try:
            async with asyncio.timeout(patience_s):
                request = http.build_request("GET", f"/v1/responses/{played.response_id}", params={"stream": "true"})
                reply = await http.send(request, stream=True)
        except TimeoutError:
            return held_back  # also the headers, which go before the first event
        try:
            if reply.status_code != httpx2.codes.OK:
                return _not_followed(gateway, reply.status_code)
            return await _read(gateway, reply, played, patience_s)
        except TimeoutError:
            return held_back
        finally:
            await reply.aclose()


async def _read(gateway: GatewayAddress, reply: httpx2.Response, played: Rehearsal, patience_s: float) -> Finding:
    lines = reply.aiter_lines()  # held: an iterator that nobody holds closes the connection
    async with asyncio.timeout(patience_s):
        await _until(lines, _OPENED)
    said_at = time.monotonic()
    await played.say(_WORD)
    async with asyncio.timeout(patience_s):
        await _until(lines, f'"delta":"{_WORD}"')
    return ok(f"{gateway.shown}: a word comes {(time.monotonic() - said_at) * 1000:.0f} ms after it was said")


async def _until(lines: AsyncIterator[str], word: str) -> None:
    async for line in lines:
        if word in line:
            return
    raise httpx2.RemoteProtocolError("the stream ended early")


def _not_followed(gateway: GatewayAddress, status: int) -> Finding:
    if status == httpx2.codes.NOT_FOUND:
        return fail(
            f"{gateway.shown} does not know a response that was made in this Redis",
            "look whether it has the same ANDON_REDIS_URL and ANDON_AUTH as we have here",
        )
    return fail(f"{gateway.shown} answers {status} to whoever follows a response", "look at its log, and at the proxy")


CHECK: Final = Check(
    name="streaming",
    asks="Do events get through proxies one by one? (No model is asked.)",
    look=_look,
    needs=(*DATABASE, "gateways"),
)
