"""The matrix: principal x action x ownership, every cell, over both doors."""

import uuid
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest

from tests.auth.actions import Outcome, OverHttp, OverSocket, Target
from tests.auth.tokens import bearer, token
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack

# Subject, tenant, scopes; None: no token. The response is alice's, of acme.
PRINCIPALS: Final[dict[str, tuple[str, str, str] | None]] = {
    "owner": ("alice", "acme", ""),
    "same_tenant": ("bob", "acme", ""),
    "other_tenant": ("alice", "globex", ""),
    "operator": ("olga", "acme", "andon:admin"),
    "operator_of_all": ("root", "globex", "andon:admin:all"),
    "other_operator": ("omar", "globex", "andon:admin"),
    "no_token": None,
}

R, O, N, U = Outcome.REACHED, Outcome.OWN, Outcome.NOT_FOUND, Outcome.UNAUTHORIZED  # noqa: E741  a table's letters

# R: the owner's response or session is reached. O: the caller has its own session of that name, and the owner's is
# untouched. N: there is no such response, for this caller. U: who is calling?
EXPECTED: Final[dict[str, tuple[Outcome, ...]]] = {
    #                owner  same tenant  other tenant  operator  operator of all  other operator  no token
    "create":       (R,     O,           O,            O,        O,               O,              U),
    "retrieve":     (R,     N,           N,            R,        R,               N,              U),
    "resume":       (R,     N,           N,            R,        R,               N,              U),
    "list_":        (R,     O,           O,            O,        O,               O,              U),
    "cancel":       (R,     N,           N,            R,        R,               N,              U),
    "stop_session": (R,     O,           O,            O,        O,               O,              U),
    "follow_up":    (R,     N,           N,            N,        N,               N,              U),
    "repeat":       (R,     O,           O,            O,        O,               O,              U),
}  # fmt: skip
STOPS: Final = {"cancel", "stop_session"}
CELLS: Final = [
    pytest.param(action, name, outcome, id=f"{action}-{name}")
    for action, row in EXPECTED.items()
    for name, outcome in zip(PRINCIPALS, row, strict=True)
]
DOORS: Final = {"http": OverHttp, "socket": OverSocket}


def _token(name: str) -> str | None:
    principal = PRINCIPALS[name]
    return None if principal is None else token(*principal)


@pytest.fixture(params=DOORS)
async def target(
    stack: Stack, http: httpx2.AsyncClient, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Target, str]]:
    """Lend a live response of the owner's, made over the door that is then tried; end all that the test made."""
    session, key = f"s-{uuid.uuid4().hex}", f"key-{uuid.uuid4().hex}"
    body = Prompt(tokens=5000, rate=100).body
    owner = token("alice", "acme")
    if request.param == "http":
        headers = {**bearer(owner), "Idempotency-Key": key}
        asked = {**body, "background": True}
        answer = await http.post("/v1/responses", params={"session": session}, json=asked, headers=headers)
        response_id = answer.json()["id"]
        await stack.meter.opened(body["metadata"]["sim_key"])
    else:
        async with stack.connect_as(owner, 0, session=session) as client:
            response_id = await client.start(body, event_id=key)
            await client.text_begun(response_id, deltas=1)
    yield Target(stack, response_id, session, key, body), request.param
    for name in PRINCIPALS:
        if (text := _token(name)) is not None:
            stopped = await http.post(f"/v1/sessions/{session}/stop", headers=bearer(text))
            assert stopped.status_code == 200


@pytest.mark.parametrize(("action", "name", "outcome"), CELLS)
async def test_who_may_do_what(
    target: tuple[Target, str], http: httpx2.AsyncClient, action: str, name: str, outcome: Outcome
) -> None:
    """The outcome is the table's, and the owner's response goes on unless a stop reached it."""
    theirs, door = target
    caller = DOORS[door](theirs, _token(name), http)
    assert await getattr(caller, action)() is outcome
    seen = (await http.get(f"/v1/responses/{theirs.response_id}", headers=bearer(_token("owner")))).json()
    if action in STOPS and outcome is Outcome.REACHED:
        principal = PRINCIPALS[name]
        assert principal is not None
        assert (seen["status"], seen["stop"]["by"]) == ("cancelled", principal[0])
    else:
        assert (seen["status"], seen.get("stop")) == ("in_progress", None)


@pytest.mark.parametrize("name", ["same_tenant", "other_tenant", "other_operator"])
async def test_what_is_anothers_answers_as_what_never_was(
    target: tuple[Target, str], stack: Stack, http: httpx2.AsyncClient, name: str
) -> None:
    """The same bytes over either door, but for the id: nobody learns that there is such a response."""
    theirs, door = target
    unknown = theirs.response_id[:-16] + "a" * 16
    text = _token(name)
    assert text is not None
    if door == "http":
        for method, path in (("GET", ""), ("GET", "?stream=true&starting_after=0"), ("POST", "/cancel")):
            answers = [
                await http.request(method, f"/v1/responses/{response_id}{path}", headers=bearer(text))
                for response_id in (theirs.response_id, unknown)
            ]
            told = [(a.status_code, sorted(a.headers.items()), a.content) for a in answers]
            assert told[0] == (
                told[1][0],
                told[1][1],
                told[1][2].replace(unknown.encode(), theirs.response_id.encode()),
            )
            assert told[0][0] == 404
        return
    async with stack.connect_as(text, 0, session="elsewhere") as client:
        for type_ in ("response.retrieve", "response.cancel"):
            for response_id in (theirs.response_id, unknown):
                await client.send(type_, response_id=response_id)
        await client.until(lambda _: len(client.all("error")) == 4)
    frames = [frame.replace(unknown, theirs.response_id) for frame in client.frames]
    assert frames == [frames[0]] * 4
    assert "response_not_found" in frames[0]
