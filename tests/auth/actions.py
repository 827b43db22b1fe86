"""Actions: what anybody may try on somebody's response, over either door, and what came of it.

Owns the trying and the judging of one answer. Guarantees: an answer that fits no outcome fails the test.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx2
import msgspec
from websockets.exceptions import InvalidStatus

from tests.auth.tokens import bearer
from tests.stack.client import Client
from tests.stack.stack import Stack


class Outcome(StrEnum):
    """What came of it."""

    REACHED = "reached"  # the owner's response or session
    OWN = "own"  # something of the caller's, or nothing; not the owner's
    NOT_FOUND = "not_found"
    UNAUTHORIZED = "unauthorized"


@dataclass(frozen=True, slots=True)
class Target:
    """A live response of the owner's."""

    stack: Stack
    response_id: str
    session: str
    # The key that it was created with, over HTTP and on a socket alike, and the body.
    key: str
    body: dict[str, Any]


def judge(reached: bool) -> Outcome:
    """Say whose it was."""
    return Outcome.REACHED if reached else Outcome.OWN


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class OverHttp:
    """One caller's requests."""

    def __init__(self, target: Target, token: str | None, http: httpx2.AsyncClient) -> None:
        self._target = target
        self._token = token
        self._http = http

    async def create(self) -> Outcome:
        """Create in a session of the same name."""
        answer = await self._send("POST", "/v1/responses", {**self._target.body, "background": True})
        return self._of(answer) or judge(_tag(answer.json()["id"]) == _tag(self._target.response_id))

    async def retrieve(self) -> Outcome:
        """Ask for the response as it stands."""
        answer = await self._send("GET", f"/v1/responses/{self._target.response_id}")
        return self._of(answer) or judge(answer.json()["id"] == self._target.response_id)

    async def resume(self) -> Outcome:
        """Ask for its events, from one that it has sent."""
        path = f"{self._http.base_url}/v1/responses/{self._target.response_id}?stream=true&starting_after=0"
        async with self._http.stream("GET", path, headers=bearer(self._token)) as answer:
            if answer.status_code != 200:
                await answer.aread()
                return self._of(answer) or judge(True)
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    return judge(self._target.response_id in line)
        raise AssertionError("the stream ended without an event")

    async def list_(self) -> Outcome:
        """List what is live in a session of the same name."""
        answer = await self._send("GET", "/v1/responses")
        return self._of(answer) or judge(self._target.response_id in [row["id"] for row in answer.json()["data"]])

    async def cancel(self) -> Outcome:
        """Stop the response."""
        answer = await self._send("POST", f"/v1/responses/{self._target.response_id}/cancel")
        return self._of(answer) or judge(answer.json()["stop"] is not None)

    async def stop_session(self) -> Outcome:
        """Stop a session of the same name."""
        answer = await self._send("POST", f"/v1/sessions/{self._target.session}/stop")
        return self._of(answer) or judge(bool(answer.json()["stops"]))

    async def follow_up(self) -> Outcome:
        """Create what goes on from the response."""
        body = {**self._target.body, "background": True, "previous_response_id": self._target.response_id}
        answer = await self._send("POST", "/v1/responses", body)
        return self._of(answer) or judge(True)

    async def repeat(self) -> Outcome:
        """Create with the same key and the same body."""
        body = {**self._target.body, "background": True}
        answer = await self._send("POST", "/v1/responses", body, {"Idempotency-Key": self._target.key})
        return self._of(answer) or judge(answer.json()["id"] == self._target.response_id)

    async def _send(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        query = {"session": self._target.session}
        told = {**bearer(self._token), **(headers or {})}
        return await self._http.request(method, path, params=query, json=body, headers=told)

    def _of(self, answer: httpx2.Response) -> Outcome | None:
        if answer.status_code == 200:
            return None
        return outcome_of(answer.status_code, answer.json()["error"]["code"])


# ── WebSocket ────────────────────────────────────────────────────────────────────────────────────────────────────────


class OverSocket:
    """One caller's frames, each on a socket of its own at the other replica."""

    def __init__(self, target: Target, token: str | None, http: httpx2.AsyncClient) -> None:
        del http
        self._target = target
        self._token = token

    async def create(self) -> Outcome:
        """Create in a session of the same name."""

        async def act(client: Client) -> Outcome:
            await client.create(self._target.body)
            created = await client.event("response.created")
            return judge(_tag(created["response_id"]) == _tag(self._target.response_id))

        return await self._on_socket(act)

    async def retrieve(self) -> Outcome:
        """Replay it from its first event."""
        return await self._retrieve(response_id=self._target.response_id)

    async def resume(self) -> Outcome:
        """Go on from an event that it has sent."""
        return await self._retrieve(response_id=self._target.response_id, starting_after=0)

    async def list_(self) -> Outcome:
        """Follow all that is live in a session of the same name."""

        async def act(client: Client) -> Outcome:
            await client.send("response.retrieve")
            answer = await client.event("response.retrieve.accepted")
            return judge(self._target.response_id in answer["response_ids"])

        return await self._on_socket(act)

    async def cancel(self) -> Outcome:
        """Stop the response."""
        return await self._cancel(response_id=self._target.response_id)

    async def stop_session(self) -> Outcome:
        """Stop a session of the same name."""
        return await self._cancel()

    async def follow_up(self) -> Outcome:
        """Create what goes on from the response."""

        async def act(client: Client) -> Outcome:
            await client.create({**self._target.body, "previous_response_id": self._target.response_id})
            return await _answer(client, "response.created") or judge(True)

        return await self._on_socket(act)

    async def repeat(self) -> Outcome:
        """Create with the same key and the same body."""

        async def act(client: Client) -> Outcome:
            await client.create(self._target.body, event_id=self._target.key)
            created = await client.event("response.created")
            return judge(created["response_id"] == self._target.response_id)

        return await self._on_socket(act)

    async def _retrieve(self, **members: Any) -> Outcome:
        async def act(client: Client) -> Outcome:
            await client.send("response.retrieve", **members)
            first = await client.until(lambda event: event["type"] == "error" or "sequence_number" in event)
            return _of_event(first) or judge(first["response_id"] == self._target.response_id)

        return await self._on_socket(act)

    async def _cancel(self, **members: Any) -> Outcome:
        async def act(client: Client) -> Outcome:
            await client.cancel(**members)
            ends = {"error", "response.cancel.done", "response.cancel.failed"}
            last = await client.until(lambda event: event["type"] in ends)
            return _of_event(last) or judge(last["type"] == "response.cancel.done")

        return await self._on_socket(act)

    async def _on_socket(self, act: Callable[[Client], Awaitable[Outcome]]) -> Outcome:
        try:
            async with self._target.stack.connect_as(self._token, 1, session=self._target.session) as client:
                return await act(client)
        except InvalidStatus as refused:
            error = msgspec.json.decode(refused.response.body)["error"]
            return outcome_of(refused.response.status_code, error["code"])


async def _answer(client: Client, type_: str) -> Outcome | None:
    return _of_event(await client.until(lambda event: event["type"] in {"error", type_}))


def _of_event(event: dict[str, Any]) -> Outcome | None:
    return outcome_of(event["status"], event["error"]["code"]) if event["type"] == "error" else None


_REFUSED: Final = {
    (401, "missing_token"): Outcome.UNAUTHORIZED,
    (404, "response_not_found"): Outcome.NOT_FOUND,
    (400, "previous_response_not_found"): Outcome.NOT_FOUND,
}


def outcome_of(status: int, code: str) -> Outcome:
    """Read a refusal."""
    return _REFUSED[status, code]


def _tag(response_id: str) -> str:
    """Return what of an id stands for its session."""
    return response_id[: len("resp_") + 24]
