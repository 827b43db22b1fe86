from typing import Any

from andon import keys
from andon.ids import ResponseId, tag_of
from andon.replies import Submitted
from andon.script import script
from andon.store import MOST_WAITING_IN_LANE, Store
from tests.contract.jobs import claim, running, settle, snapshot, submission, submitted, types_of


async def promoted(store: Store, rid: ResponseId) -> bytes:
    """Run the promote script itself: its tag is more than the store's yes or no."""
    tag = tag_of(rid)
    reply: list[Any] = await store.database.eval(
        script("promote"), [keys.job(rid), keys.log(rid), keys.lanes(tag)], [rid, 60_000, keys.events(tag)]
    )
    return bytes(reply[0])


async def lane(store: Store, rid: ResponseId, name: str = "k/a") -> list[str]:
    """Read who holds a lane and who waits in it."""
    held = await store.database.call("HGET", keys.lanes(tag_of(rid)), name)
    return held.decode().split() if held else []


async def test_only_the_first_of_a_free_lane_is_promoted(store: Store) -> None:
    """Each reply of the script: busy while another is first, queued once, then no more waiting; a lost job is gone."""
    first, second = await submitted(store, lane="k/a"), await submitted(store, lane="k/a")
    assert await promoted(store, first) == b"not_waiting"
    assert await promoted(store, second) == b"lane_busy"
    await store.database.call("HSET", keys.lanes(tag_of(second)), "k/a", second)
    assert await promoted(store, second) == b"queued"
    before = await snapshot(store.database)
    assert await promoted(store, second) == b"not_waiting"
    assert await snapshot(store.database) == before
    assert await promoted(store, submission().response_id) == b"gone"


async def test_a_claim_gives_a_waiting_job_its_turn(store: Store) -> None:
    """Its entry precedes its promotion and may be read before it: the promotion that follows changes nothing."""
    first, second = await submitted(store, lane="k/a"), await submitted(store, lane="k/a")
    # What an ending leaves before its writer has promoted the next.
    await store.database.call("HSET", keys.lanes(tag_of(second)), "k/a", second)
    claimed = await claim(store, second)
    assert (claimed.generation, claimed.next_number) == (1, 2)
    assert await types_of(store, second) == ["response.created", "response.in_progress"]
    before = await snapshot(store.database)
    assert await promoted(store, second) == b"not_waiting"
    assert await snapshot(store.database) == before
    assert await types_of(store, first) == ["response.created"]


async def test_a_lane_whose_holder_redis_lost_lets_the_waiting_one_go(store: Store) -> None:
    """A lane hash that expired before its jobs blocks nobody."""
    await submitted(store, lane="k/a")
    second = await submitted(store, lane="k/a")
    await store.database.call("DEL", keys.lanes(tag_of(second)))
    assert await store.promote(second)
    assert await types_of(store, second) == ["response.created"]


async def test_one_who_leaves_from_the_middle_disturbs_nobody(store: Store) -> None:
    """Order and holder stay; nobody is promoted."""
    rids = [await submitted(store, lane="k/a") for _ in range(4)]
    receipt = await store.stop(rids[2], None, by="client", reason=None)
    assert receipt.next_of_lane is None
    assert await lane(store, rids[0]) == [rids[0], rids[1], rids[3]]
    assert await types_of(store, rids[1]) == []


async def test_responses_of_a_lane_run_one_after_another_in_order(store: Store) -> None:
    """Each ending gives the next its turn, down to the last; then the lane is forgotten."""
    rids = [await submitted(store, lane="k/a") for _ in range(3)]
    for position, rid in enumerate(rids):
        job = await claim(store, rid)
        for waiting in rids[position + 1 :]:
            assert await types_of(store, waiting) == []
        await settle(store, job, 2)
    assert await lane(store, rids[0]) == []


async def test_a_stopped_holder_gives_its_turn_once(store: Store) -> None:
    """A stop of the queued holder promotes the next; of the running one, its settlement does."""
    first, second, third = [await submitted(store, lane="k/a") for _ in range(3)]
    receipt = await store.stop(first, None, by="client", reason=None)
    assert receipt.next_of_lane == second
    job = await claim(store, second)
    assert (await store.stop(second, None, by="client", reason=None)).next_of_lane is None
    assert await types_of(store, third) == []
    view = await store.job(second)
    assert view is not None
    assert view.stop is not None
    await settle(store, job, 2, stop=view.stop)
    assert await types_of(store, third) == []  # `completed` was refused: the mark decides
    assert await lane(store, third) == [second, third]


async def test_a_full_lane_has_room_again_after_an_ending(store: Store) -> None:
    """The bound is on those who wait now."""
    job = await running(store, lane="k/a")
    for _ in range(MOST_WAITING_IN_LANE):
        await submitted(store, lane="k/a")
    assert (await store.submit(submission(lane="k/a"))).tag is Submitted.LANE_FULL
    await settle(store, job, 2)
    assert (await store.submit(submission(lane="k/a"))).tag is Submitted.WAITING


async def test_sockets_do_not_share_lanes(store: Store) -> None:
    """A `stream_id` belongs to its socket: the same name on another socket is another lane."""
    assert (await store.submit(submission(lane="one/a"))).tag is Submitted.QUEUED
    assert (await store.submit(submission(lane="two/a"))).tag is Submitted.QUEUED
