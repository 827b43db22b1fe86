"""Account: what became of every response of a run, by three witnesses: the clients, the log in Redis, the sim's meter.

Owns the columns of the table and what they mean. Guarantees: every job that Redis holds is judged, also one whose
client never heard of it.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from andon import keys
from andon.frames import decode
from andon.ids import ResponseId
from tests.chaos.load import Load
from tests.chaos.plant import Freeze, Plant
from tests.chaos.scenarios import Losses
from tests.chaos.stopping import Acknowledged
from tests.stack.client import TERMINAL

_POLL_S: Final = 0.05

T = TypeVar("T")


class Row(msgspec.Struct):
    """One scenario in the table; times in seconds."""

    scenario: str
    lease_s: float
    streams: int = 0
    stops: int = 0
    # Acknowledged, and the response did not end as cancelled.
    stops_lost: int = 0
    # Responses with no ending, or more than one, or more than one settlement.
    bad_endings: int = 0
    # Requests at the model server after everything ended.
    left_open: int = 0
    # Output events that entered a log after its stop was acknowledged.
    after_mark: int = 0
    longest_s: float = 0.0
    median_s: float = 0.0
    # Ended by close 1011 `job_lost`.
    job_lost: int = 0
    # Sockets that clients opened beyond one a response.
    reconnects: int = 0
    # Everything else that must not be, in words.
    faults: list[str] = []

    @property
    def is_clean(self) -> bool:
        """Tell whether every promise was kept."""
        counted = self.stops_lost + self.bad_endings + self.left_open + self.after_mark
        return not counted and not self.faults and self.longest_s < self.lease_s + 1


class Account:
    """The account of one run."""

    def __init__(self, scenario: str, plant: Plant, load: Load, *, losses: Losses) -> None:
        self._plant = plant
        self._journeys = [journey for journey in load.journeys if journey.sockets]
        self._stoppings = load.stoppings
        self._stops = first_of_each(stop for stopping in load.stoppings for stop in stopping.acknowledged)
        self._losses = losses
        self.row = Row(scenario, plant.lease_s)
        # Response id to its log, of every job that Redis holds.
        self._logs: dict[str, list[bytes]] = {}

    async def draw(self, *, patience_s: float) -> Row:
        """Wait until the jobs have ended and the model server is idle, then judge. Raises StoreUnavailable."""
        await self._read_logs(patience_s)
        await self._judge_settlements(patience_s)
        self._judge_journeys()
        self._judge_stops()
        await self._judge_upstreams(patience_s)
        return self.row

    # ── the log in Redis ─────────────────────────────────────────────────────────────────────────────────────────

    async def _read_logs(self, patience_s: float) -> None:
        live = await look_until(self._live, lambda live: not live, patience_s)
        self.row.faults += [f"{rid}: never ended" for rid in live]
        for rid in await self._jobs():
            self._logs[rid] = await self._plant.database.call("LRANGE", keys.log(rid), 0, -1)
            self._judge_log(rid, [decode(frame) for frame in self._logs[rid]])

    async def _jobs(self) -> list[ResponseId]:
        found = await self._plant.database.everywhere("KEYS", "andon:*:job:*")  # some hundred
        return sorted({ResponseId(name.decode().rpartition(":")[2]) for names in found for name in names})

    async def _live(self) -> list[ResponseId]:
        states = {rid: await self._plant.database.call("HGET", keys.job(rid), "state") for rid in await self._jobs()}
        return [rid for rid, state in states.items() if state != b"ended"]

    def _judge_log(self, rid: str, events: list[dict[str, Any]]) -> None:
        types = [event["type"] for event in events]
        endings = [type_ for type_ in types if type_ in TERMINAL]
        if len(endings) != 1 or types[-1] not in TERMINAL:
            self.row.bad_endings += 1
            self.row.faults.append(f"{rid}: its log has the endings {endings}, and its last event is {types[-1:]}")
            return
        if [event["sequence_number"] for event in events] != list(range(len(events))):
            self.row.faults.append(f"{rid}: its log has a gap or a repeat")
        told = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        if told != _text(events[-1]["response"]):
            self.row.faults.append(f"{rid}: its ending does not hold the text of its log")
        if types.count("response.created") > 1 or types.count("response.in_progress") > 1:
            self.row.faults.append(f"{rid}: its first events were repeated")

    async def _judge_settlements(self, patience_s: float) -> None:
        """Every response that ended is in the billing's stream, with one record, however often it was shipped."""
        found = await look_until(self._settlements, lambda found: not set(self._logs) - set(found), patience_s)
        for rid in self._logs:
            if len(found.get(rid, ())) not in self._lawful_records():
                self.row.bad_endings += 1
                self.row.faults.append(f"{rid}: {len(found.get(rid, ()))} different settlement records")

    def _lawful_records(self) -> range:
        """How many different records of one response there may be.

        Redis may lose an ending that it had shipped, and in a cluster the stream, without the jobs of other nodes.
        """
        match self._losses:
            case Losses.NONE:
                return range(1, 2)
            case Losses.A_MOMENT:
                return range(1, 3)
            case Losses.DATA:
                return range(3)

    async def _settlements(self) -> dict[str, set[bytes]]:
        rows = await self._plant.database.call("XRANGE", keys.SETTLEMENTS, "-", "+")
        found: dict[str, set[bytes]] = {}
        for _, fields in rows:
            record = dict(zip(fields[::2], fields[1::2], strict=True))
            found.setdefault(record[b"response_id"].decode(), set()).add(record[b"settlement"])
        return found

    # ── the clients ──────────────────────────────────────────────────────────────────────────────────────────────

    def _judge_journeys(self) -> None:
        self.row.streams = len(self._journeys)
        for journey in self._journeys:
            self.row.reconnects += journey.sockets - 1
            self.row.faults += journey.faults
            self.row.job_lost += journey.lost
            if journey.lost and self._losses is Losses.NONE:
                self.row.faults.append(f"{journey.response_id}: its client was told that it was lost")
            if not journey.over:
                self.row.bad_endings += 1
                self.row.faults.append(f"{journey.response_id}: its client saw no ending in {len(journey.frames)}")
            logged = self._logs.get(journey.response_id or "")
            if journey.ending is not None and logged is not None:
                delivered = [frame.encode() for frame in journey.frames]
                if delivered != logged and not (self._losses is Losses.A_MOMENT and _was_cut(delivered, logged)):
                    self.row.faults.append(f"{journey.response_id}: its client saw other frames than its log holds")

    def _judge_stops(self) -> None:
        self.row.stops = len(self._stops)
        self.row.faults += [
            f"{stopping.journey.response_id}: whoever stopped it was told that there is no such response"
            for stopping in self._stoppings
            if stopping.unknown and self._losses is Losses.NONE
        ]
        endings = {journey.response_id: journey for journey in self._journeys}
        for rid, stop in self._stops.items():
            log = self._logs.get(rid)
            journey = endings.get(rid)
            if log is None:
                # Redis lost it: what the client saw is the only witness.
                if journey is None or (journey.ending is None and not journey.lost):
                    self.row.stops_lost += 1
                continue
            if decode(log[-1])["response"]["status"] != "cancelled":
                self.row.stops_lost += 1
                self.row.faults.append(f"{rid}: stopped, and ended as {decode(log[-1])['response']['status']}")
            # One event may follow the mark: the ending.
            may_be_lost = stop.is_unsafe and self._losses is Losses.A_MOMENT  # and was then set again, a second later
            if stop.length is not None and len(log) > stop.length + 1 and not may_be_lost:
                self.row.after_mark += len(log) - stop.length - 1
                self.row.faults.append(f"{rid}: {len(log)} events, {stop.length} when its stop was acknowledged")

    # ── the model server ─────────────────────────────────────────────────────────────────────────────────────────

    async def _judge_upstreams(self, patience_s: float) -> None:
        reading = await look_until(self._plant.meter.read, lambda reading: not reading.open, patience_s)
        self.row.left_open = reading.open
        stopped = {
            journey.prompt.key: self._stops[journey.response_id]
            for journey in self._journeys
            if journey.response_id in self._stops
        }
        took = [
            _after(stopped[record.key].recorded_at, record.ended_at, self._plant.freezes)
            for record in reading.requests
            if record.key in stopped and record.ended_at is not None
        ]
        took = [seconds for seconds in took if seconds > 0]
        if took:
            self.row.longest_s, self.row.median_s = max(took), statistics.median(took)


async def look_until(look: Callable[[], Awaitable[T]], is_it: Callable[[T], bool], patience_s: float) -> T:
    """Look until this is true of what is seen, or patience is over; return what was seen last."""
    deadline = time.monotonic() + patience_s
    while True:
        seen = await look()
        if is_it(seen) or time.monotonic() > deadline:
            return seen
        await asyncio.sleep(_POLL_S)  # between two looks: other processes have no other way of saying so


def first_of_each(stops: Iterable[Acknowledged]) -> dict[str, Acknowledged]:
    """Keep the first acknowledgement of each response."""
    first: dict[str, Acknowledged] = {}
    for stop in stops:
        first.setdefault(stop.response_id, stop)
    return first


def _after(recorded_at: float, closed_at: float, freezes: list[Freeze]) -> float:
    """Return how long the closing took; what a frozen process closed when it was thawed, from its thaw."""
    for freeze in freezes:
        if recorded_at < freeze.thawed_at <= closed_at:
            recorded_at = freeze.thawed_at
    return closed_at - recorded_at


def _was_cut(delivered: list[bytes], logged: list[bytes]) -> bool:
    """Tell whether the log is what was delivered, without its end, and an ending of its own."""
    return logged[:-1] == delivered[: len(logged) - 1]


def _text(response: dict[str, Any]) -> str:
    parts = (part for item in response["output"] for part in item.get("content") or ())
    return "".join(part["text"] for part in parts if part["type"] == "output_text")
