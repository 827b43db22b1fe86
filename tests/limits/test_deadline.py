"""Deadlines: a response ends in time, wherever it is by then."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from andon.database import Database
from andon.replies import Refused
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import WORKER, claim, log_of, settlements, submission, types_of
from tests.contract.sdk import assert_sdk_reads
from tests.limits.door import post
from tests.stack.client import Client
from tests.stack.prompt import Prompt
from tests.stack.shape import check_responses
from tests.stack.stack import Stack

OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
LONG: dict[str, Any] = {"tokens": 100_000, "rate": 20.0}
_PATIENCE_S = 40.0


def check_over(ending: dict[str, Any]) -> None:
    """Assert the ending of a response whose deadline was over."""
    assert (ending["type"], ending["response"]["status"]) == ("response.failed", "failed")
    error = ending["response"]["error"]
    assert (error["code"], error["type"]) == ("server_error", "deadline_exceeded")
    assert "deadline_s" in error["message"]


async def _ended_by_its_deadline(client: Client, body: dict[str, Any], deadline_s: float) -> dict[str, Any]:
    response_id = await client.start(body, deadline_s=deadline_s)
    ending = await client.ending(response_id, timeout_s=_PATIENCE_S)
    check_over(ending)
    check_responses(client, ended=[response_id])
    return ending


async def test_a_running_response_ends_at_its_deadline(stack: Stack) -> None:
    """Partial output and usage are kept, the upstream is closed, the socket stays."""
    prompt = Prompt(**LONG)
    async with stack.connect(0) as client:
        ending = await _ended_by_its_deadline(client, prompt.body, 4)
        assert ending["response"]["output"][0]["content"][0]["text"]
        assert ending["response"]["usage"]["output_tokens"] > 0
        assert (await stack.meter.ended(prompt.key)).client_closed
        await client.ending(await client.start(Prompt(tokens=1).body))


async def test_a_model_server_that_never_answers_is_given_up_at_the_deadline(stack: Stack) -> None:
    """Before the first byte, too."""
    async with stack.connect(0) as client:
        await _ended_by_its_deadline(client, Prompt(model="sim-mute").body, 1)


async def test_one_that_keeps_its_deadline_does_not_notice(stack: Stack) -> None:
    """It completes, and nothing is left of the clock."""
    async with stack.connect(0) as client:
        response_id = await client.start(Prompt(tokens=3).body, deadline_s=3600)
        assert (await client.ending(response_id))["type"] == "response.completed"


async def test_over_http_it_is_a_failed_response(stack: Stack) -> None:
    """Waited for it is 200 with the failed Response, as of any failure; a chat's error is a 504."""
    reply = await post(stack, {**Prompt(**LONG).body, "deadline_s": 0.5})
    assert reply.status_code == 200
    assert reply.json()["error"]["type"] == "deadline_exceeded"
    chat = {"model": "sim-stall", "messages": [{"role": "user", "content": "hello"}], "deadline_s": 0.5}
    reply = await post(stack, chat, path="/v1/chat/completions")
    assert reply.status_code == 504
    assert reply.json()["error"]["type"] == "deadline_exceeded"


async def test_one_that_waits_for_its_lane_ends_without_its_turn(own_stack: OwnStack) -> None:
    """The sweep finds it; the holder of the lane goes on, and the one behind it keeps its place."""
    async with own_stack(gateways=1, ANDON_LEASE_S="2") as stack, stack.connect(0, on_stop="keep") as client:
        holder = await client.start(Prompt(**LONG).body, stream_id="a")
        await client.create(Prompt().body, stream_id="a", deadline_s=1)
        behind = Prompt(tokens=2)
        await client.create(behind.body, stream_id="a")
        ending = await client.until(lambda e: e["type"] == "response.failed", timeout_s=_PATIENCE_S)
        check_over(ending)
        assert [event["type"] for event in client.of(ending["response_id"])] == ["response.created", "response.failed"]
        assert ending["response"]["usage"]["total_tokens"] == 0
        await client.cancel(response_id=holder)
        await client.ending(holder)
        completed = await client.until(lambda e: e["type"] == "response.completed", timeout_s=_PATIENCE_S)
        assert completed["response_id"] not in {holder, ending["response_id"]}


async def test_one_that_nobody_claims_ends_by_the_gateways_own_deadline(own_stack: OwnStack) -> None:
    """No worker is there at all, and the create named no deadline."""
    env = {"ANDON_LEASE_S": "2", "ANDON_DEADLINE_S": "1"}
    async with own_stack(gateways=1, workers=0, **env) as stack, stack.connect(0) as client:
        response_id = await client.start(Prompt().body)
        check_over(await client.ending(response_id, timeout_s=_PATIENCE_S))


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, Settings())


async def _overdue(store: Store, lane: str = "") -> Any:
    made = msgspec.structs.replace(submission(lane=lane), deadline_s=1e-6)
    await store.submit(made)
    return made.response_id


async def test_a_claim_after_the_deadline_is_refused_and_settles(store: Store) -> None:
    """Nobody asks the model for what comes too late; one ending, one record, no cost."""
    rid = await _overdue(store)
    assert await store.claim(rid, WORKER) is Refused.EXPIRED
    terminal = (await log_of(store, rid))[-1]
    check_over(terminal)
    assert_sdk_reads(terminal)
    (record,) = await settlements(store, rid)
    assert (record["status"], record["usage"]["total_tokens"]) == ("failed", 0)
    assert await store.claim(rid, WORKER) is Refused.ENDED


async def test_a_claim_in_time_is_told_what_is_left(store: Store) -> None:
    """Counted by Redis' clock from the submit; without a deadline there is nothing to tell."""
    made = msgspec.structs.replace(submission(), deadline_s=1000.0)
    await store.submit(made)
    left_s = (await claim(store, made.response_id)).left_s
    assert left_s is not None
    assert 900 < left_s <= 1000
    other = submission()
    await store.submit(other)
    assert (await claim(store, other.response_id)).left_s is None


async def test_a_requeued_job_keeps_its_deadline(store: Store) -> None:
    """It counts from the create, not from the claim that failed."""
    made = msgspec.structs.replace(submission(), deadline_s=1000.0)
    await store.submit(made)
    before = await store.job(made.response_id)
    await store.requeue(await claim(store, made.response_id))
    after = await store.job(made.response_id)
    assert before is not None
    assert after is not None
    assert before.deadline_at == after.deadline_at is not None


async def test_expire_ends_a_waiting_job_only_past_its_deadline(store: Store) -> None:
    """One without a deadline waits for its turn, however long that takes."""
    await store.submit(submission(lane="k/a"))
    patient = submission(lane="k/a")
    await store.submit(patient)
    overdue = await _overdue(store, lane="k/a")
    await store.expire(patient.response_id)
    await store.expire(overdue)
    assert await types_of(store, patient.response_id) == []
    assert await types_of(store, overdue) == ["response.created", "response.failed"]
