"""The scripts against the pure machine of `andon.job`: any commands, in any order, by several actors, a real server.

`ANDON_MODEL_RUNS` sets the number of runs: few by default, 2,000 in `make chaos`.
"""

import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from andon import job as machine
from andon.embedded import EmbeddedValkey
from andon.ids import ResponseId, WorkerId, new_session_name, new_worker_id, tag_of
from andon.job import Job, State
from andon.lease import Leases
from andon.replies import Claimed, StopOutcome
from andon.rescue import Rescuer
from andon.response import Status, Stop
from andon.settings import Settings
from andon.store import Store
from tests.contract.jobs import deltas, log_of, settle, settlements, submission
from tests.contract.loop_thread import LoopThread

RUNS = int(os.environ.get("ANDON_MODEL_RUNS", "40"))
STEPS = 30
MOST_CLAIMS = 3
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
NOT_OUTPUT = {"response.created", "response.in_progress", *TERMINAL}

index = st.integers(0, 5)


class _DyingStore(Store):
    async def _give_turn(self, rid: ResponseId | None) -> None:
        pass


class ScriptsFollowTheMachine(RuleBasedStateMachine):
    """Commands go to both; tags and states must agree, and the promises hold after each."""

    thread: LoopThread

    def __init__(self) -> None:
        super().__init__()
        database = self.thread.database
        self.store = Store(database, Settings(max_attempts=MOST_CLAIMS))
        # The same scripts as a process whose queue's time to live is over for every job.
        self.late = Store(database, Settings(max_attempts=MOST_CLAIMS).model_copy(update={"queue_ttl_s": -1.0}))
        # The same scripts as a process that dies between an ending and the next one's turn.
        self.dying = _DyingStore(database, Settings(max_attempts=MOST_CLAIMS))
        self.leases = Leases(database, lease_s=60)
        self.rescuer = Rescuer(self.store, self.leases)
        self.session = new_session_name()
        self.workers: list[WorkerId] = []
        self.jobs: dict[ResponseId, Job] = {}
        self.lanes: dict[str, list[ResponseId]] = {}
        self.lane_of: dict[ResponseId, str] = {}
        # Every right to write that was ever given, stale ones included: they must be fenced.
        self.claims: list[Claimed] = []
        # Jobs whose deadline was over the moment they came.
        self.overdue: set[ResponseId] = set()
        # Events of the model's in the log when the mark was set: there may never be more.
        self.output_at_mark: dict[ResponseId, int] = {}

    @initialize()
    def begin(self) -> None:
        self.workers = [new_worker_id() for _ in range(3)]

    # ── the lanes: a list each, as the scripts keep them ─────────────────────────────────────────────────────────

    def _set(self, rid: ResponseId, job: Job, *, dies: bool = False) -> None:
        was, self.jobs[rid] = self.jobs[rid], job
        if job.marked and not was.marked:
            self.output_at_mark[rid] = self._output_in_log(rid)
        if job.state is State.ENDED and was.state is not State.ENDED:
            self._leave_lane(rid, dies=dies)

    def _leave_lane(self, rid: ResponseId, *, dies: bool) -> None:
        lane = self.lanes.get(self.lane_of[rid], [])
        was_first = lane[:1] == [rid]
        if rid in lane:
            lane.remove(rid)
        if was_first and lane and not dies:
            self.jobs[lane[0]], _ = machine.promote(self.jobs[lane[0]], is_first_in_lane=True)

    def _is_first_in_lane(self, rid: ResponseId) -> bool:
        return self.lanes.get(self.lane_of[rid], [])[:1] == [rid]

    def _output_in_log(self, rid: ResponseId) -> int:
        return sum(event["type"] not in NOT_OUTPUT for event in self.thread.run(log_of(self.store, rid)))

    def _pick(self, at: int) -> ResponseId | None:
        return list(self.jobs)[at % len(self.jobs)] if self.jobs else None

    def _pick_claim(self, at: int) -> Claimed | None:
        return self.claims[-1 - at % len(self.claims)] if self.claims else None

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(lane=st.sampled_from(["", "s/a", "s/a", "s/b"]), deadline_s=st.sampled_from([0, 0, 3600, 1e-6]))
    def submit(self, lane: str, deadline_s: float) -> None:
        made = msgspec.structs.replace(submission(session=self.session, lane=lane), deadline_s=deadline_s)
        busy = bool(lane and self.lanes.get(lane))
        answer = self.thread.run(self.store.submit(made)).tag
        job = machine.submit(lane_is_busy=busy)
        assert str(answer) == str(job.state)
        self.jobs[made.response_id] = job
        self.lane_of[made.response_id] = lane
        if 0 < deadline_s < 1:
            self.overdue.add(made.response_id)
        if lane:
            self.lanes.setdefault(lane, []).append(made.response_id)
        assert self.thread.run(self.store.submit(made)).tag == "duplicate"

    @rule(at=index, who=st.integers(0, 2), late=st.booleans())
    def claim(self, at: int, who: int, *, late: bool) -> None:
        if (rid := self._pick(at)) is not None:
            self._claim(rid, who, late=late)

    @rule(who=st.integers(0, 2))
    def claim_before_the_turn_is_given(self, who: int) -> None:
        """Whoever stopped a lane's holder died before it promoted the next, whose entry a worker has read."""
        while len(self.lanes.get("s/c", [])) < 2:
            self.submit("s/c", 0)
        holder, rid = self.lanes["s/c"][:2]
        if self.jobs[holder].state is State.QUEUED:
            self._stop(holder, dies=True)
            self._claim(rid, who)

    def _claim(self, rid: ResponseId, who: int, *, late: bool = False) -> None:
        store = self.late if late else self.store
        answer = self.thread.run(store.claim(rid, self.workers[who]))
        job, tag = machine.claim(
            self.jobs[rid],
            self.workers[who],
            is_first_in_lane=self._is_first_in_lane(rid),
            waited_too_long=late,
            past_deadline=rid in self.overdue,
        )
        assert ("claimed" if isinstance(answer, Claimed) else answer) == tag
        self._set(rid, job)
        if isinstance(answer, Claimed):
            assert (answer.generation, answer.next_number) == (job.generation, job.length)
            self.claims.append(answer)

    @rule(at=index, ahead=st.sampled_from([0, 0, 0, 0, -1, 1]), count=st.integers(1, 3), again=st.booleans())
    def append(self, at: int, ahead: int, count: int, *, again: bool) -> None:
        if (claim := self._pick_claim(at)) is None:
            return
        job = self.jobs[claim.response_id]
        first = max(0, job.length + ahead)
        frames = deltas(claim, first, *["x"] * count)
        for _ in range(2 if again else 1):
            answer = self.thread.run(self.store.append(claim, first, frames, renew=again))
            job, tag = machine.append(job, claim.worker_id, claim.generation, first, count)
            assert answer.tag == tag
            assert answer.length in {None, job.length}
        self._set(claim.response_id, job)

    @rule(at=index, dies=st.booleans())
    def stop(self, at: int, *, dies: bool) -> None:
        if (rid := self._pick(at)) is not None:
            self._stop(rid, dies=dies)

    def _stop(self, rid: ResponseId, *, dies: bool) -> None:
        store = self.dying if dies else self.store
        receipt = self.thread.run(store.stop(rid, None, by="test", reason=None))
        job, tag = machine.stop(self.jobs[rid])
        assert receipt.outcome == tag
        assert (receipt.settled is not None) == (receipt.outcome is StopOutcome.RECORDED and job.state is State.ENDED)
        self._set(rid, job, dies=dies)

    @rule(
        at=index,
        ahead=st.sampled_from([0, 0, 0, 1]),
        status=st.sampled_from(list(Status)[2:]),
        last=st.integers(0, 2),
        dies=st.booleans(),
    )
    def settle(self, at: int, ahead: int, status: Status, last: int, *, dies: bool) -> None:
        if (claim := self._pick_claim(at)) is None:
            return
        job = self.jobs[claim.response_id]
        if status is Status.CANCELLED:
            last = 0  # nothing but the ending follows a mark
        first = job.length + ahead
        stop = Stop("test", None, 1.0) if status is Status.CANCELLED else None
        store = self.dying if dies else self.store
        answer = self.thread.run(settle(store, claim, first, *["y"] * last, status=status, stop=stop))
        job, tag = machine.settle(job, claim.worker_id, claim.generation, first, count=last + 1, status=status)
        assert answer.tag == tag
        self._set(claim.response_id, job, dies=dies)

    @rule(at=index)
    def requeue(self, at: int) -> None:
        if (claim := self._pick_claim(at)) is None:
            return
        answer = self.thread.run(self.store.requeue(claim))
        job, tag = machine.requeue(
            self.jobs[claim.response_id], claim.worker_id, claim.generation, most_claims=MOST_CLAIMS
        )
        assert answer.tag == tag
        self._set(claim.response_id, job)

    @rule(at=index, late=st.booleans())
    def expire(self, at: int, *, late: bool) -> None:
        if (rid := self._pick(at)) is None:
            return
        self.thread.run((self.late if late else self.store).expire(rid))
        job, _ = machine.expire(self.jobs[rid], waited_too_long=late, past_deadline=rid in self.overdue)
        self._set(rid, job)

    @rule(at=index)
    def promote(self, at: int) -> None:
        if (rid := self._pick(at)) is None:
            return
        promoted = self.thread.run(self.store.promote(rid))
        job, tag = machine.promote(self.jobs[rid], is_first_in_lane=self._is_first_in_lane(rid))
        assert promoted == (tag == "queued")
        self._set(rid, job)

    @rule(who=st.integers(0, 2))
    def crash(self, who: int) -> None:
        """A worker dies without a word; somebody buries it and rescues its jobs; its old rights stay about."""
        dead, self.workers[who] = self.workers[who], new_worker_id()
        assert self.thread.run(self.leases.bury(dead, by_itself=True))  # as if its lease had run out
        self.thread.run(self.rescuer.rescue_worker(dead))
        for rid, job in list(self.jobs.items()):
            if job.state is State.RUNNING and job.owner == dead:
                self._set(rid, self._rescued(job, dead))

    @staticmethod
    def _rescued(job: Job, dead: WorkerId) -> Job:
        after, tag = machine.requeue(job, dead, job.generation, most_claims=MOST_CLAIMS)
        if not job.marked and tag == "queued":
            return after
        status = Status.CANCELLED if job.marked else Status.FAILED
        after, tag = machine.settle(job, dead, job.generation, job.length, count=1, status=status)
        assert tag == "settled"
        return after

    # ── promises ─────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_job_hash_says_what_the_machine_says(self) -> None:
        for rid, job in self.jobs.items():
            view = self.thread.run(self.store.job(rid))
            assert view is not None
            assert (view.state, view.generation, view.stop is not None) == (job.state, job.generation, job.marked)
            if job.state is State.RUNNING:
                assert view.owner == job.owner
            assert view.status == job.status

    @invariant()
    def the_log_holds_what_was_promised(self) -> None:
        for rid, job in self.jobs.items():
            types = [event["type"] for event in self.thread.run(log_of(self.store, rid))]
            assert len(types) == job.length
            assert types[:1] in ([], ["response.created"])
            assert types.count("response.created") == min(1, len(types))
            assert types.count("response.in_progress") <= 1
            endings = [type_ for type_ in types if type_ in TERMINAL]
            assert endings == ([types[-1]] if job.state is State.ENDED else [])
            if rid in self.output_at_mark:
                assert sum(type_ not in NOT_OUTPUT for type_ in types) == self.output_at_mark[rid]

    @invariant()
    def each_ending_has_one_settlement(self) -> None:
        for rid, job in self.jobs.items():
            records = self.thread.run(settlements(self.store, rid))
            assert [record["status"] for record in records] == ([job.status] if job.state is State.ENDED else [])

    @invariant()
    def live_is_what_has_not_ended(self) -> None:
        live = {rid for rid, job in self.jobs.items() if job.state is not State.ENDED}
        for tag in {tag_of(rid) for rid in self.jobs}:
            assert set(self.thread.run(self.store.live(tag))) == live


@pytest.fixture
def thread(valkey: EmbeddedValkey) -> Iterator[LoopThread]:
    with LoopThread(valkey.url) as running:
        ScriptsFollowTheMachine.thread = running
        yield running


@pytest.mark.timeout(1800)
def test_scripts_follow_the_machine(thread: LoopThread) -> None:
    """Whatever is asked of a job, by whomever, in any order: the scripts answer as the machine does, and every
    promise about its log, its mark, its ending and its settlement holds after each step.
    """
    assert thread.database.connected
    run_state_machine_as_test(
        ScriptsFollowTheMachine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
