from andon import keys
from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag, tag_of
from andon.replies import Submission, Submitted
from andon.store import MOST_WAITING_IN_LANE, Store
from tests.contract.jobs import STRANGER, log_of, snapshot, submission, submitted


async def test_an_accepted_response_is_queued_with_its_created_event(store: Store) -> None:
    """`response.created` is number 0, carries the session, and says `queued`."""
    made = submission(session="chat")
    assert (await store.submit(made)).tag is Submitted.QUEUED
    (created,) = await log_of(store, made.response_id)
    assert (created["type"], created["session"]) == ("response.created", "chat")
    assert created["response"]["status"] == "queued"
    assert created["response"]["metadata"] == {"k": "v"}
    job = await store.job(made.response_id)
    assert job is not None
    assert (job.state, job.generation, job.owner, job.session) == ("queued", 0, "", "chat")
    assert job.request == made.request
    assert job.is_owned_by(ANONYMOUS)
    assert not job.is_owned_by(STRANGER)
    assert await store.live(session_tag(ANONYMOUS, SessionName("chat"))) == [made.response_id]


async def test_a_queued_response_stands_in_queue_and_index(store: Store) -> None:
    """The hints are written with the job, so both are supersets of it."""
    rid = await submitted(store)
    ((_, fields),) = await store.database.call("XRANGE", keys.QUEUE, "-", "+")
    assert fields == [b"job", rid.encode()]
    assert await store.database.call("ZRANGE", keys.SESSIONS, 0, -1) == [tag_of(rid).encode()]


async def test_a_repeated_submit_changes_nothing_of_the_job(store: Store) -> None:
    """A caller whose reply was lost may repeat: the answer is `duplicate`, job and log stay as they are."""
    made = submission()
    await store.submit(made)
    before = await snapshot(store.database)
    assert (await store.submit(made)).tag is Submitted.DUPLICATE
    after = await snapshot(store.database)
    assert {name: after[name] for name in after if name != keys.QUEUE} == {
        name: before[name] for name in before if name != keys.QUEUE
    }


async def test_a_session_of_another_principal_is_foreign(store: Store) -> None:
    """Nobody adds to a session of somebody else, even if the tags were to collide."""
    rid = await submitted(store)
    other = submission(principal=STRANGER)
    forged = Submission(
        response_id=new_response_id(tag_of(rid)),
        principal=STRANGER,
        session=other.session,
        lane="",
        envelope=other.envelope,
        base=other.base,
        request=other.request,
        record=other.record,
    )
    assert (await store.submit(forged)).tag is Submitted.FOREIGN
    assert await store.job(forged.response_id) is None


async def test_a_lane_takes_its_bound_and_refuses_the_next(store: Store) -> None:
    """One holds the lane, sixteen wait, the next is told `lane_full` and leaves no job."""
    assert (await store.submit(submission(lane="k/a"))).tag is Submitted.QUEUED
    for _ in range(MOST_WAITING_IN_LANE):
        assert (await store.submit(submission(lane="k/a"))).tag is Submitted.WAITING
    refused = submission(lane="k/a")
    assert (await store.submit(refused)).tag is Submitted.LANE_FULL
    assert await store.job(refused.response_id) is None
    assert (await store.submit(submission(lane="k/b"))).tag is Submitted.QUEUED


async def test_a_waiting_response_has_no_event_yet(store: Store) -> None:
    """Its `response.created` comes when the lane is free."""
    await submitted(store, lane="k/a")
    waiting = await submitted(store, lane="k/a")
    assert await log_of(store, waiting) == []
    job = await store.job(waiting)
    assert job is not None
    assert (job.state, job.queued_at) == ("waiting", None)
