"""Snapshot: a Response as it stands, from the job hash and the log.

Owns the JSON of a response that is asked for without a stream. An ended one is the very bytes of its terminal event;
a live one is its base, its state and the output so far, folded from the log as the worker would fold it.
"""

from typing import Final, Literal

import msgspec

from andon.events import ResponseState
from andon.frames import decode, encode
from andon.output import OutputFold
from andon.replies import JobView
from andon.response import stop_object
from andon.store import Store
from gateway.cursor import is_terminal

_SLICE_FRAMES: Final = 512
_STATUSES: Final[dict[str, Literal["queued", "in_progress"]]] = {
    "waiting": "queued",
    "queued": "queued",
    "running": "in_progress",
}


class _Terminal(msgspec.Struct):
    response: msgspec.Raw


def final_response(frame: bytes) -> bytes:
    """Take the Response out of a terminal event, as it is."""
    return bytes(msgspec.json.decode(frame, type=_Terminal).response)


async def snapshot(store: Store, job: JobView) -> bytes | None:
    """Return the Response as JSON; None if its log expired meanwhile. Raises StoreUnavailable."""
    if job.last is not None:
        frames = await store.log_slice(job.response_id, job.last, job.last)
        return final_response(frames[0]) if frames else None
    fold, first = OutputFold(), 0
    # In slices: a long log neither fills the memory nor holds up the loop.
    while frames := await store.log_slice(job.response_id, first, first + _SLICE_FRAMES - 1):
        if is_terminal(frames[-1]):
            return final_response(frames[-1])  # it ended while we read
        fold.add_frames(frames)
        first += len(frames)
    return encode(decode(job.base + b"}") | _state(job, fold))


def _state(job: JobView, fold: OutputFold) -> ResponseState:
    state: ResponseState = {
        "status": _STATUSES[job.state],
        "error": None,
        "incomplete_details": None,
        "output": fold.items(unfinished="in_progress"),
        "usage": None,
    }
    if job.stop is not None:
        state["stop"] = stop_object(job.stop, job.upstream_closed_at)
    return state
