"""Expiry: a socket outlives its token by the grace, unless the token is refreshed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from tests.auth.tokens import bearer, token
from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

# Room for a handshake and a few answers on a machine that is busy.
SOON_S = 6


@asynccontextmanager
async def _soon_expired(stack: Stack) -> AsyncIterator[Client]:
    """Open a socket whose token expires soon; the grace is one second more."""
    async with stack.connect_as(token(lasts_s=SOON_S), 0, session="short") as client:
        yield client


async def test_a_socket_whose_token_expired_is_closed_and_its_response_goes_on(
    stack: Stack, http: httpx2.AsyncClient
) -> None:
    """3000 `token_expired`, after the grace and not before; a detach, no stop: it is retrieved with a new token."""
    async with _soon_expired(stack) as client:
        response_id = await client.start(Prompt(tokens=5000, rate=100).body)
        assert await client.closed(30) == (3000, "token_expired")
        assert not client.all("response.incomplete")
    seen = await http.get(f"/v1/responses/{response_id}", headers=bearer(token()))
    assert (seen.json()["status"], seen.json().get("stop")) == ("in_progress", None)
    async with stack.connect_as(token(), 1, response_id=response_id, starting_after=3) as again:
        await again.text_begun(response_id)
        await again.cancel(response_id=response_id)
        await again.ending(response_id)


async def test_a_refreshed_socket_stays(stack: Stack) -> None:
    """`auth.refreshed` tells until when; past the old token's time and grace it still answers."""
    expires_at = int(time.time()) + SOON_S
    async with stack.connect_as(token(lasts_s=SOON_S), 0) as client:
        text = token(lasts_s=600)
        stack.secrets.add(text)
        await client.send("auth.refresh", token=text, event_id="r")
        refreshed = await client.event("auth.refreshed", event_id="r")
        assert refreshed["expires_at"] > expires_at + 500
        # The old token's grace, and some looks of the watch.
        await wait_until(lambda: time.time() > expires_at + 3, what="the old token's time is over")
        await client.send("ping", event_id="still")
        await client.event("pong", event_id="still")


_BAD = {
    "expired": (token(lasts_s=-60), 401, "invalid_token"),
    "wrong_key": (token(key="another-secret-of-enough-bytes-01234"), 401, "invalid_token"),
    "no_jwt": ("no jwt", 401, "invalid_token"),
    "another_subject": (token("bob"), 403, "principal_mismatch"),
    "another_tenant": (token("alice", "globex"), 403, "principal_mismatch"),
}


@pytest.mark.parametrize("what", _BAD)
async def test_a_bad_refresh_is_an_error_and_the_socket_stays(stack: Stack, what: str) -> None:
    """Who calls cannot change on an open socket, and what is no token changes nothing."""
    text, status, code = _BAD[what]
    stack.secrets.add(text)
    async with stack.connect_as(token(), 0) as client:
        await client.send("auth.refresh", token=text, event_id="r")
        error = await client.event("error", event_id="r")
        assert (error["status"], error["error"]["code"]) == (status, code)
        await client.send("ping", event_id="there")
        await client.event("pong", event_id="there")


async def test_a_bad_refresh_gains_no_time(stack: Stack) -> None:
    """The socket keeps the token that it has, and closes at its time."""
    async with _soon_expired(stack) as client:
        await client.send("auth.refresh", token=_BAD["another_subject"][0], event_id="r")
        await client.event("error", event_id="r")
        assert await client.closed(30) == (3000, "token_expired")


async def test_a_refresh_brings_its_scopes(stack: Stack) -> None:
    """Who was no operator is one from then on, and the other way round."""
    async with (
        stack.connect_as(token("bob"), 0, session="b", on_stop="keep") as owner,
        stack.connect_as(token("olga"), 0, session="o", on_stop="keep") as client,
    ):
        response_id = await owner.start(Prompt(tokens=5000, rate=100).body)
        await client.cancel(response_id=response_id, event_id="1")
        assert (await client.event("error", event_id="1"))["error"]["code"] == "response_not_found"
        await client.send("auth.refresh", token=token("olga", scope="andon:admin"), event_id="2")
        await client.event("auth.refreshed", event_id="2")
        await client.cancel(response_id=response_id, event_id="3")
        await client.event("response.cancel.accepted", event_id="3")
        assert (await owner.ending(response_id))["response"]["stop"]["by"] == "olga"
        await client.send("auth.refresh", token=token("olga"), event_id="4")
        await client.event("auth.refreshed", event_id="4")
        await client.send("response.retrieve", response_id=response_id, event_id="5")
        assert (await client.event("error", event_id="5"))["error"]["code"] == "response_not_found"


async def test_a_stream_over_http_ends_with_its_token(http: httpx2.AsyncClient) -> None:
    """After the grace, with an `error` event; the response goes on, though leaving this very request would stop it."""
    body = {**Prompt(tokens=5000, rate=100).body, "stream": True}
    async with http.stream("POST", "/v1/responses", json=body, headers=bearer(token(lasts_s=SOON_S))) as answer:
        response_id = answer.headers["X-Andon-Response-Id"]
        lines = [line async for line in answer.aiter_lines()]
    assert "event: error" in lines[-3:]
    assert '"token_expired"' in "".join(lines[-3:])
    seen = await http.get(f"/v1/responses/{response_id}", headers=bearer(token()))
    assert (seen.json()["status"], seen.json().get("stop")) == ("in_progress", None)
    await http.post(f"/v1/responses/{response_id}/cancel", headers=bearer(token()))


async def test_a_request_that_waits_gets_its_answer(http: httpx2.AsyncClient) -> None:
    """It was let in: it runs to its end, past its token's."""
    prompt = Prompt(tokens=100, rate=10)  # ten seconds
    answer = await http.post("/v1/responses", json=prompt.body, headers=bearer(token(lasts_s=SOON_S)))
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
