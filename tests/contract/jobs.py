"""Jobs as tests make them, the frames they append, and what the log says afterwards."""

from typing import Any, Final

import msgspec

from andon import keys
from andon.database import Database
from andon.frames import DeltaFramer, decode, encode, envelope
from andon.ids import ANONYMOUS, Principal, ResponseId, SessionName, WorkerId, new_response_id, session_tag, tag_of
from andon.pieces import Delta
from andon.replies import Claimed, Outcome, Refused, Submission, Submitted
from andon.response import Ending, Status, Stop, base, open_object, terminal_frame
from andon.store import Store
from andon.usage import Usage

WORKER = WorkerId("w_one")
OTHER_WORKER = WorkerId("w_two")
STRANGER = Principal(tenant="default", subject="stranger")
REQUEST: dict[str, Any] = {"model": "sim-1", "input": "hello", "metadata": {"k": "v"}}
USAGE = Usage(input_tokens=3, output_tokens=2, source="estimated")


def submission(
    *, session: str = "s", lane: str = "", principal: Principal = ANONYMOUS, body: dict[str, Any] | None = None
) -> Submission:
    """Make an accepted create, as a gateway would."""
    name = SessionName(session)
    response_id = new_response_id(session_tag(principal, name))
    body = REQUEST if body is None else body
    return Submission(
        response_id=response_id,
        principal=principal,
        session=name,
        lane=lane,
        envelope=envelope(response_id, lane.partition("/")[2] or None),
        base=open_object(base(response_id, body, created_at=1_700_000_000.5)),
        request=encode(body),
        record=open_object({"response_id": response_id, "session": name}),
    )


async def submitted(store: Store, *, session: str = "s", lane: str = "") -> ResponseId:
    """Submit a job and return its id."""
    made = submission(session=session, lane=lane)
    assert (await store.submit(made)).tag in {Submitted.QUEUED, Submitted.WAITING}
    return made.response_id


async def claim(store: Store, response_id: ResponseId, worker_id: WorkerId = WORKER) -> Claimed:
    """Claim a job that can be claimed."""
    claimed = await store.claim(response_id, worker_id)
    assert not isinstance(claimed, Refused), claimed
    return claimed


async def running(store: Store, *, session: str = "s", lane: str = "", worker_id: WorkerId = WORKER) -> Claimed:
    """Submit a job and claim it."""
    return await claim(store, await submitted(store, session=session, lane=lane), worker_id)


def deltas(job: Claimed, first: int, *texts: str) -> list[bytes]:
    """Frame text deltas numbered from `first`."""
    framer = DeltaFramer(job.envelope)
    return [
        framer.frame(Delta("response.output_text.delta", "msg_1", 0, ("content_index", 0), text), first + offset)
        for offset, text in enumerate(texts)
    ]


def ended(job: Claimed, number: int, status: Status = Status.COMPLETED, stop: Stop | None = None) -> bytes:
    """Frame a terminal event."""
    return terminal_frame(number, job.envelope, job.base, Ending(status, [], USAGE, stop=stop))


async def settle(
    store: Store, job: Claimed, first: int, *texts: str, status: Status = Status.COMPLETED, stop: Stop | None = None
) -> Outcome:
    """Settle a job with its last deltas and its terminal event."""
    frames = [*deltas(job, first, *texts), ended(job, first + len(texts), status, stop)]
    return await store.settle(
        job,
        first,
        frames,
        status=status,
        settlement={"usage": USAGE.to_wire(), "stop": None, "cause": None},
        output=[],
        acked_at=None if stop is None else 1.5,
        upstream_closed_at=None if stop is None else 2.5,
    )


async def log_of(store: Store, response_id: ResponseId) -> list[dict[str, Any]]:
    """Read the log as JSON; its numbers are its indexes, always."""
    events = [decode(frame) for frame in await store.log_slice(response_id, 0, -1)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(event["response_id"] == response_id for event in events)
    return events


async def types_of(store: Store, response_id: ResponseId) -> list[str]:
    """Read the types of the events in the log."""
    return [event["type"] for event in await log_of(store, response_id)]


async def settlements(store: Store, response_id: ResponseId) -> list[dict[str, Any]]:
    """Read a response's settlement records in its session's outbox."""
    rows = await store.database.call("XRANGE", keys.outbox(tag_of(response_id)), "-", "+")
    found = []
    for _, fields in rows:
        entry = dict(zip(fields[::2], fields[1::2], strict=True))
        if entry[b"response_id"].decode() == response_id:
            found.append(msgspec.json.decode(entry[b"settlement"]))
    return found


_READS: Final[dict[bytes, tuple[str, tuple[str, ...]]]] = {
    b"hash": ("HGETALL", ()),
    b"list": ("LRANGE", ("0", "-1")),
    b"set": ("SMEMBERS", ()),
    b"zset": ("ZRANGE", ("0", "-1")),
    b"stream": ("XRANGE", ("-", "+")),
    b"string": ("MGET", ()),
}


async def snapshot(database: Database) -> dict[str, list[Any]]:
    """Read every key's value: two equal snapshots mean that nothing was changed in between."""
    values: dict[str, list[Any]] = {}
    for name in sorted(await database.call("KEYS", "*")):
        kind = await database.call("TYPE", name)
        verb, more = _READS[kind]
        value = await database.call(verb, name, *more)
        if kind == b"hash":  # its order is not its value
            value = sorted(zip(value[::2], value[1::2], strict=True))
        values[name.decode()] = sorted(value) if kind == b"set" else value
    return values


async def lasting_keys(database: Database) -> list[str]:
    """List the keys that would stay for ever."""
    names: list[bytes] = await database.call("KEYS", "*")
    return [name.decode() for name in names if await database.call("PTTL", name) == -1]
