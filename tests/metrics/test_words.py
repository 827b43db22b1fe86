"""What is told, by whom, where no scrape of a whole stack would show it in time."""

import ast
import asyncio
import inspect
from types import ModuleType
from typing import Any

import pytest

from andon import places
from andon.audit import Asker, Door, Role, new_audit_id
from andon.errors import StoreUnavailable
from andon.ids import ANONYMOUS, ResponseId, WorkerId, tag_of
from andon.lease import About, Leases
from andon.pieces import Cause
from andon.progress import Progress
from andon.pulse import Pulse
from andon.replies import Refused, StopOutcome, StopReceipt
from andon.rescue import Rescuer
from andon.response import Status
from andon.settings import Settings
from andon.store import Store
from andon.telemetry import DrainStep, Renewal, Rescued, StopEnd, StopPath, Telemetry
from andon.trail import Ask, Trail
from gateway import bounds, commands, creation, submitter
from gateway.http import creator
from gateway.hub import Hub
from gateway.metrics import REFUSALS, GatewayMetrics
from gateway.sockets import Sockets
from gateway.stops import Stops
from tests.contract.fake import FakeDatabase
from tests.contract.jobs import deltas, running, settle, submitted
from tests.gateway.test_sockets import FakeSocket
from tests.metrics.scrape import Scrape
from tests.worker.fakes import WORKER, FakeRescuer, FakeStore, Tasks, store_away
from worker.beat import Beat
from worker.metrics import WorkerMetrics
from worker.roster import Roster
from worker.switch import Switch


class Told(Telemetry):
    """Keeps what it is told, in its order."""

    def __init__(self) -> None:
        self.words: list[tuple[object, ...]] = []

    def stopped(self, path: StopPath, end: StopEnd) -> None:
        """Keep it."""
        self.words.append((path, end))

    def ended(self, status: Status) -> None:
        """Keep it."""
        self.words.append((status,))

    def rescued(self, what: Rescued) -> None:
        """Keep it."""
        self.words.append((what,))

    def drain(self, step: DrainStep) -> None:
        """Keep it."""
        self.words.append((step,))

    def lease(self, renewal: Renewal) -> None:
        """Keep it."""
        self.words.append((renewal,))

    def stop_asked(self, outcome: StopOutcome | None) -> None:
        """Keep it."""
        self.words.append((outcome,))

    def gap_found(self) -> None:
        """Keep it."""
        self.words.append(("gap",))


class Wishes:
    """Subscriptions that are taken, and confirmed when a test says so."""

    deaf = False

    async def subscribe(self, channel: str) -> None:
        """Take it."""


class FakeConnections(FakeDatabase):
    """A database that says of itself that it is connected, and whose subscriptions are never confirmed."""

    connected = True

    def subscriber(self, **_: Any) -> Any:
        """Give one that takes every wish."""
        return Wishes()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def store(told: Told) -> Store:
    """Give a store on a server of its own that tells."""
    return Store(FakeDatabase(), Settings(), telemetry=told)


async def _stop(store: Store, response_id: ResponseId) -> None:
    await store.stop(response_id, ANONYMOUS, by="client", reason=None)


# ── stops and endings that scripts report ────────────────────────────────────────────────────────────────────────────


async def test_a_stop_of_what_nobody_has_is_told_once_however_often_it_is_sent(store: Store, told: Told) -> None:
    """The script settles it; a repeat finds it ended."""
    response_id = await submitted(store)
    for _ in range(2):
        await _stop(store, response_id)
    assert told.words == [(StopPath.UNCLAIMED, StopEnd.SETTLED), (Status.CANCELLED,)]


async def test_a_mark_that_a_requeue_finds_is_told(store: Store, told: Told) -> None:
    """A worker gives back a job that was stopped this moment."""
    job = await running(store)
    await _stop(store, job.response_id)
    assert told.words == []  # its worker is to tell
    await store.requeue(job)
    assert told.words == [(StopPath.REQUEUE, StopEnd.SETTLED), (Status.CANCELLED,)]


async def test_who_waited_too_long_is_told_as_failed(told: Told) -> None:
    """By whichever script finds it: the one that ends it, or the claim that comes too late."""
    store = Store(FakeDatabase(), Settings(), telemetry=told)
    store.settings = store.settings.model_copy(update={"queue_ttl_s": -1.0})
    await store.expire(await submitted(store))
    assert await store.claim(await submitted(store, session="other"), WORKER) is Refused.EXPIRED
    assert told.words == [(Status.FAILED,), (Status.FAILED,)]


async def test_an_ending_is_told_once(store: Store, told: Told) -> None:
    """A repeat whose answer was lost writes nothing, and tells nothing."""
    job = await running(store)
    for _ in range(2):
        await settle(store, job, 2, "text")
    assert told.words == [(Status.COMPLETED,)]


@pytest.mark.parametrize("has_stop", [True, False], ids=["stopped", "with output"])
async def test_the_ending_of_a_dead_worker_s_job_is_told_by_whoever_wrote_it(
    store: Store, told: Told, *, has_stop: bool
) -> None:
    """With the path of its stop, if it was stopped."""
    job = await running(store)
    if has_stop:
        await _stop(store, job.response_id)
    else:
        await store.append(job, 2, deltas(job, 2, "text"), renew=False)
    rescuer = Rescuer(store, Leases(store.database, lease_s=1))
    assert await rescuer.rescue_job(job.response_id, job.worker_id)
    stop = [(StopPath.RESCUE, StopEnd.SETTLED)] if has_stop else []
    assert told.words == [(Status.CANCELLED if has_stop else Status.FAILED,), (Rescued.ENDED,), *stop]


async def test_a_job_that_is_queued_again_is_told(store: Store, told: Told) -> None:
    """Nothing of the model's was logged: it is no ending."""
    job = await running(store)
    assert await Rescuer(store, Leases(store.database, lease_s=1)).rescue_job(job.response_id, job.worker_id)
    assert told.words == [(Rescued.REQUEUED,)]


# ── gateways ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_ASKER = Asker(ANONYMOUS, Role.OWNER, Door.SOCKET)


class AwayStore(FakeStore):
    """A store whose server is away for every stop."""

    async def stop(self, *_: object, **__: object) -> StopReceipt:
        """Fail."""
        raise store_away()


class NoTrail(Trail):
    """An audit that keeps nothing."""

    def __init__(self) -> None:
        pass

    def ask(self, asker: Asker, *_: object, reason: str | None, **__: object) -> Ask:
        """Name the ask."""
        return Ask(new_audit_id(), asker, reason, "")


async def test_a_stop_that_could_not_be_recorded_is_told_once(told: Told) -> None:
    """However often it was tried."""
    store = AwayStore()
    store.telemetry = told
    hub = Hub(FakeConnections(), timeout_s=1, ping_every_s=1)
    stops = Stops(store, hub, NoTrail(), wait_s=1, on_settled=lambda _: None)
    with pytest.raises(StoreUnavailable):
        await stops.stop([ResponseId("resp_x")], _ASKER, reason=None)
    assert told.words == [(None,)]


@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_a_gateway_s_drain_is_told_with_how_it_ended(told: Told, *, is_stubborn: bool) -> None:
    """Clean if all went in time, cut if one was still there."""
    sockets = Sockets(slow_reader_s=30, lapsed=lambda _: None, telemetry=told)
    sockets.add(FakeSocket(sockets, leaves=not is_stubborn))
    await sockets.drain(0.2 if is_stubborn else 30)
    assert told.words == [(DrainStep.BEGUN,), (DrainStep.CUT if is_stubborn else DrainStep.CLEAN,)]


async def test_only_a_channel_that_was_lost_under_a_follower_is_a_gap(told: Told) -> None:
    """Not the first confirmation, nor one that nobody followed meanwhile."""
    hub = Hub(FakeConnections(), timeout_s=1, ping_every_s=1, telemetry=told)
    response_id = ResponseId("resp_" + "a" * 40)
    tag = tag_of(response_id)
    await hub.hold(tag)
    hub._on_confirmed(f"andon:{{{tag}}}:events")  # noqa: SLF001  as the subscriber tells
    hub._on_confirmed(f"andon:{{{tag}}}:events")  # noqa: SLF001
    assert told.words == []


def _codes(modules: tuple[ModuleType, ...]) -> set[str]:
    """Find the codes of all errors that these modules raise: first arguments of calls of `...Error`, and `_Room`s."""
    found = set()
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
            elif isinstance(node, ast.Constant) and str(node.value).startswith("too_many_live_responses"):
                found.add(str(node.value))
    return found


def test_every_code_that_refuses_a_create_has_a_series_of_its_own() -> None:
    """A new one is found here, before it counts as `other`."""
    raised = _codes((bounds, commands, creation, creator, places, submitter))
    # A stop's, not a create's.
    assert raised - {"response_not_found"} <= set(REFUSALS)
    assert {"too_many_live_responses", "lane_full", "previous_response_not_found"} <= raised


async def test_a_code_without_a_series_counts_as_other() -> None:
    """It is never an error of the create that is refused."""
    metrics = GatewayMetrics(FakeConnections(), sockets=lambda: 0, subscribed=lambda: True)
    metrics.create_refused("made_up_by_a_plugin")
    scrape = Scrape(metrics.exposition("")[0].decode())
    assert scrape.value("andon_creates_total", outcome="other") == 1


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class FakeLeases(Leases):
    """Answers renewals from a list."""

    def __init__(self, *answers: bool | Exception) -> None:
        self._answers = list(answers)

    async def renew(self, worker_id: WorkerId, about: About) -> bool:
        """Answer what is next."""
        assert worker_id == WORKER
        assert about.live == 0
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_each_renewal_of_the_lease_is_told(told: Told) -> None:
    """Renewed, missed with Redis away, refused once the id is dead."""
    store = FakeStore()
    beat = Beat(
        WORKER,
        leases=FakeLeases(True, store_away(), False),
        progress=Progress(store.database),
        lease_s=0.01,
        roster=Roster(store, rescuer=FakeRescuer(), on_settled=lambda _: None, spawn=Tasks().spawn),
        switch=Switch(60, on_fire=lambda: None),
        concurrency=1,
        is_draining=lambda: False,
        left_behind=lambda: 0,
        telemetry=told,
    )
    async with asyncio.timeout(15):
        await beat.run()
    assert told.words == [(Renewal.RENEWED,), (Renewal.MISSED,), (Renewal.REFUSED,)]


async def test_a_worker_is_well_while_its_lease_stands() -> None:
    """Not before the first renewal, nor after it was declared dead."""
    metrics = WorkerMetrics(FakeConnections(), Settings(lease_s=300))
    assert not metrics.is_well()
    metrics.lease(Renewal.RENEWED)
    assert metrics.is_well()
    metrics.lease(Renewal.MISSED)
    assert metrics.is_well()
    metrics.lease(Renewal.REFUSED)
    assert not metrics.is_well()


async def test_the_time_to_the_close_is_taken_on_redis_clock() -> None:
    """This machine's clock is an hour behind, and the stop took what it took."""
    metrics = WorkerMetrics(FakeConnections(), Settings())
    metrics.pulse._clocks += [(0.5, 3599.0), (0.001, 3600.0)]  # noqa: SLF001  the shorter trip tells it better
    metrics.upstream_closed(StopPath.HINT, requested_at=1_000_003_600.0, closed_at=1_000_000_000.25)
    scrape = Scrape(metrics.exposition("")[0].decode())
    assert scrape.value("andon_stop_to_closed_seconds_sum", path="hint") == pytest.approx(0.25)
    metrics.upstream_failed(Cause.UPSTREAM_CUT)
    assert Scrape(metrics.exposition("")[0].decode()).value("andon_upstream_errors_total", cause="upstream_cut") == 1


def _age(pulse: Pulse) -> float | None:
    return pulse.queue_age_s


async def test_only_who_is_queued_waits() -> None:
    """Entries of jobs that were claimed, stopped or never came are looked behind; the age is that of the oldest."""
    store = Store(FakeDatabase(), Settings())
    trips: list[float] = []
    pulse = Pulse(store.database, on_round_trip=trips.append)
    assert _age(pulse) is None
    await store.database.call("XADD", "andon:queue", "*", "job", "resp_" + "a" * 40)  # its job never came
    for number in range(40):
        await _stop(store, await submitted(store, session=f"stopped {number}"))
    await running(store, session="running")
    await pulse.look()
    assert _age(pulse) == 0
    waits = await submitted(store, session="waits")
    await pulse.look()
    first = _age(pulse)
    assert first is not None
    await store.database.call("HINCRBYFLOAT", f"andon:{{{tag_of(waits)}}}:job:{waits}", "queued_at", -100)
    await pulse.look()
    assert (_age(pulse) or 0) >= first + 99
    assert len(trips) == 3
    assert pulse.clock_ahead_s is not None
    assert abs(pulse.clock_ahead_s) < 15
