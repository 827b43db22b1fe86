"""Places: the counting itself, on a real server."""

import asyncio

import msgspec
import pytest

from andon import keys
from andon.database import Database
from andon.errors import ConflictError, OverloadedError
from andon.ids import ANONYMOUS, Principal, ResponseId, principal_tag, tenant_tag
from andon.places import Places
from andon.replies import Submission, Submitted
from andon.response import open_object
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from gateway.submitter import Submitter
from tests.contract.jobs import claim, settle, snapshot, submission

COLLEAGUE = Principal(tenant=ANONYMOUS.tenant, subject="colleague")
MINE = keys.counted_live(principal_tag(ANONYMOUS.tenant, ANONYMOUS.subject))
OURS = keys.counted_live(tenant_tag(ANONYMOUS.tenant))
MY_CREATES = keys.counted_creates(principal_tag(ANONYMOUS.tenant, ANONYMOUS.subject))


def a_store(database: Database, *, live: int = 0, of_tenant: int = 0, creates: int = 0) -> Store:
    """Make a store with limits, as each gateway and worker has one of its own."""
    return Store(
        database,
        Settings(max_live_per_principal=live, max_live_per_tenant=of_tenant, creates_per_minute=creates),
    )


def a_create(principal: Principal = ANONYMOUS, *, key: str | None = None, digest: str = "d") -> Submission:
    """Make a create, with its owner in its record as a gateway writes it."""
    made = submission(principal=principal)
    record = open_object({"response_id": made.response_id, "tenant": principal.tenant, "subject": principal.subject})
    return msgspec.structs.replace(made, record=record, event_id=key, digest=digest if key else "")


async def submit(store: Store, made: Submission | None = None) -> ResponseId:
    """Submit as a gateway does."""
    submittal = await Submitter(store, key_name="event_id").submit(made or a_create())
    return submittal.response_id


async def refused(store: Store, made: Submission | None = None) -> OverloadedError:
    """Submit what must be refused; return the refusal."""
    with pytest.raises(OverloadedError) as refusal:
        await submit(store, made)
    return refusal.value


async def test_exactly_the_limit_is_admitted_of_many_at_once(database: Database) -> None:
    """Two replicas, thirty creates at once: five live, and the refused ones left no job, no place, nothing."""
    replicas = [a_store(database, live=5) for _ in range(2)]
    tries = [submit(replicas[number % 2]) for number in range(30)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, str)]
    refusals = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert (len(accepted), len(refusals)) == (5, 25)
    assert {error.code for error in refusals} == {"too_many_live_responses"}
    assert all(error.status == 429 and error.retry_after_s > 0 for error in refusals)
    assert len(await database.call("KEYS", "*:job:*")) == 5
    assert await database.call("ZCARD", MINE) == 5


async def test_one_principal_does_not_use_up_anothers_room(database: Database) -> None:
    """Each has its own."""
    store = a_store(database, live=1)
    await submit(store)
    await submit(store, a_create(COLLEAGUE))
    assert (await refused(store, a_create(COLLEAGUE))).code == "too_many_live_responses"


async def test_a_tenants_room_is_shared_and_a_refusal_there_leaves_nothing_here(database: Database) -> None:
    """The tenant is full: the principal keeps its place and its create for later."""
    store = a_store(database, live=5, of_tenant=2, creates=100)
    await submit(store)
    await submit(store, a_create(COLLEAGUE))
    before = await snapshot(database)
    assert (await refused(store)).code == "too_many_live_responses_of_tenant"
    assert await database.call("ZCARD", MINE) == 1
    assert await snapshot(database) == before


async def test_an_ending_makes_room_by_itself(database: Database) -> None:
    """The shipper, which sees every ending, frees both places."""
    store = a_store(database, live=1, of_tenant=1)
    rid = await submit(store)
    job = await claim(store, rid)
    await settle(store, job, 2)
    await Shipper(database, store.places).ship(job.tag)
    assert await database.call("EXISTS", MINE, OURS) == 0
    await submit(store)


async def test_an_ending_that_nobody_shipped_yet_makes_room_when_it_is_needed(database: Database) -> None:
    """The next create reads the job behind the place: also one after the other, with no pause in between."""
    store = a_store(database, live=1)
    for _ in range(5):
        await settle(store, await claim(store, await submit(store)), 2)


async def test_several_without_room_at_once_all_get_what_one_look_frees(database: Database) -> None:
    """Four ended, four come at the same moment: none is refused."""
    store = a_store(database, live=4)
    for _ in range(4):
        await settle(store, await claim(store, await submit(store)), 2)
    await asyncio.gather(*(submit(store) for _ in range(4)))
    assert (await refused(store)).code == "too_many_live_responses"


@pytest.mark.parametrize(("age_s", "is_freed"), [(0, False), (3600, True)])
async def test_a_place_without_a_job_is_freed_after_a_grace(database: Database, age_s: float, is_freed: bool) -> None:
    """A gateway died between place and submit; before the grace is over, its submit may be under way."""
    store = a_store(database, live=1)
    left_behind = submission().response_id
    seconds, _ = await database.call("TIME")
    await database.call("ZADD", MINE, (int(seconds) - age_s) * 1000, left_behind)
    await database.call("EXPIRE", MINE, 60)
    if is_freed:
        await submit(store)
    else:
        await refused(store)


async def test_what_is_live_is_never_taken_for_stale(database: Database) -> None:
    """Queued, waiting or running, however long ago it came."""
    store = a_store(database, live=2)
    rid, running = await submit(store), await submit(store)
    await claim(store, running)
    await database.call("ZADD", MINE, 1, rid, 1, running)
    await refused(store)
    assert await database.call("ZCARD", MINE) == 2


async def test_a_repeat_of_what_was_accepted_needs_no_room(database: Database) -> None:
    """With its key it follows the same response, although the limit is reached; and it takes up no second place."""
    store = a_store(database, live=2, creates=100)
    first = await submit(store, a_create(key="k"))
    assert await submit(store, a_create(key="k")) == first
    assert await database.call("ZCARD", MINE) == 1
    await submit(store)
    assert await submit(store, a_create(key="k")) == first
    with pytest.raises(ConflictError):
        await submit(store, a_create(key="k", digest="other"))
    assert (await refused(store, a_create(key="new"))).code == "too_many_live_responses"


async def test_a_create_that_is_refused_otherwise_gives_everything_back(database: Database) -> None:
    """A conflict: its place and its create are there for the next one."""
    store = a_store(database, live=2, creates=2)
    await submit(store, a_create(key="k"))
    for _ in range(5):
        with pytest.raises(ConflictError):
            await submit(store, a_create(key="k", digest="other"))
    await submit(store)


async def test_a_repeated_admission_changes_nothing(database: Database) -> None:
    """Its answer may have been lost: the same id takes one place and one create."""
    places = Places(database, Settings(max_live_per_principal=9, creates_per_minute=9), longest_life_s=60)
    rid = submission().response_id
    await places.take(ANONYMOUS, rid)
    before = await snapshot(database)
    await places.take(ANONYMOUS, rid)
    assert await snapshot(database) == before


async def test_the_bucket_of_creates_is_exact_and_says_when_there_is_more(database: Database) -> None:
    """So many at once on two replicas; then one each interval, and the wait that is told is the wait there is."""
    replicas = [a_store(database, creates=6) for _ in range(2)]
    answers = await asyncio.gather(*(submit(replicas[n % 2]) for n in range(20)), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, OverloadedError)]
    assert len(refusals) == 14
    assert {error.code for error in refusals} == {"rate_limit_exceeded"}
    assert all(0 < error.retry_after_s <= 10 for error in refusals)
    # Time goes by: the bucket would be full again that much sooner.
    wait_us = int(refusals[-1].retry_after_s * 1e6) + 1
    full_at = int(await database.call("GET", MY_CREATES))
    await database.call("SET", MY_CREATES, full_at - wait_us, "KEEPTTL")
    await submit(replicas[0])
    await refused(replicas[1])


async def test_without_limits_nothing_is_counted(database: Database) -> None:
    """Off by default: no key, and no command."""
    store = a_store(database)
    assert (await store.submit(a_create())).tag is Submitted.QUEUED
    calls = (await database.call("INFO", "commandstats")).decode()
    before = calls.count("zadd")
    await store.places.take(ANONYMOUS, submission().response_id)
    await store.places.give_back(ANONYMOUS, submission().response_id)
    assert await database.call("KEYS", "andon:{[pt]_*") == []
    assert before == (await database.call("INFO", "commandstats")).decode().count("zadd")
