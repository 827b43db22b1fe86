"""Doors: whether each gateway is ready, lets this token in, and WebSockets get through what stands in front of it."""

import asyncio
import secrets
from typing import Final

import httpx2

from andon.client import CannotConnect, ConnectionLost
from andon.doctor import names
from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, skipped
from andon.doctor.gateway import GatewayAddress, gateway_at
from andon.doctor.site import Site
from andon.doctor.unreachable import unreachable

_UNAUTHORIZED: Final = {401, 403}
_UPGRADE: Final = (
    "let the proxy pass the upgrade: HTTP/1.1 and the headers Upgrade and Connection (nginx: proxy_http_version 1.1, "
    'proxy_set_header Upgrade $http_upgrade, Connection "upgrade"; docs/delivery.md)'
)


async def _look(site: Site) -> list[Finding]:
    if not site.order.gateways:
        return [skipped("no gateway was named: --gateway http://host:port")]
    found = []
    for url in site.order.gateways:
        gateway = gateway_at(url, site.order.token)
        found += await _look_at(gateway, site.order.patience_s)
    return found


async def _look_at(gateway: GatewayAddress, patience_s: float) -> list[Finding]:
    try:
        async with gateway.http(patience_s=patience_s) as http:
            refusal = await _over_http(http, gateway)
    except (httpx2.HTTPError, OSError) as error:
        return [unreachable(error, where=gateway.shown, setting="--gateway")]
    if refusal is not None:
        return [refusal]
    return [await _by_socket(gateway, patience_s)]


async def _over_http(http: httpx2.AsyncClient, gateway: GatewayAddress) -> Finding | None:
    ready = await http.get("/readyz")
    if ready.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
        return fail(f"{gateway.shown} is not ready (503)", "look at its log: Redis away, or it drains")
    # Behind an Ingress /readyz need not be there; this one must be.
    listed = await http.get("/v1/responses", params={"session": names.tag()})
    if listed.status_code in _UNAUTHORIZED:
        return fail(
            f"{gateway.shown} does not let this token in ({listed.status_code})",
            "give a valid one: --token, or ANDON_TOKEN",
        )
    if listed.status_code != httpx2.codes.OK:
        return fail(
            f"{gateway.shown} answers {listed.status_code} to GET /v1/responses",
            "name a gateway, and let the proxy in front of it lead /v1/ there",
        )
    return None


async def _by_socket(gateway: GatewayAddress, patience_s: float) -> Finding:
    event_id = secrets.token_hex(4)
    try:
        async with gateway.socket(names.tag()) as client, asyncio.timeout(patience_s):
            await client.ping(event_id)
            async for event in client:
                if event["type"] == "pong" and event.get("event_id") == event_id:
                    return ok(f"{gateway.shown} is ready, and WebSockets get through")
    except CannotConnect as error:
        # HTTP got through just now.
        return fail(f"{gateway.shown} answers, and does not upgrade to a WebSocket: {error}", _UPGRADE)
    except (ConnectionLost, TimeoutError) as error:
        why = str(error) or "no pong came"
        return fail(
            f"{gateway.shown} upgrades, and then {why}", "look at time-outs and inspection of WebSockets in proxies"
        )
    return fail(f"{gateway.shown} closed the socket", _UPGRADE)


CHECK: Final = Check(
    name="gateways",
    asks="Is each `--gateway` ready, does it take the token, and do WebSockets get through?",
    look=_look,
    needs=("settings",),
)
