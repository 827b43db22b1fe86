"""Feed: the shapes of what a console is sent.

Owns the types; the published contract is made from them. Does not own what is sent when (`gateway.admin.watcher`).
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta

from andon.audit import Door, Entry
from andon.gateways import AboutGateway
from andon.ids import ResponseId
from gateway.admin.rows import Row
from gateway.admin.shown import ShownBroadcast, ShownWorker

_After = Annotated[float | None, Meta(description="Seconds after `recorded`; null: it did not, or nobody knows.")]


class SettledStop(TypedDict):
    """A settled stop, in seconds from its recording: what a console charts."""

    response_id: ResponseId | None
    tenant: str
    by: str
    door: Door
    reason: str | None
    recorded: Annotated[float | None, Meta(description="Unix seconds.")]
    acked_s: _After
    upstream_closed_s: _After
    settled_s: _After


class _Message(TypedDict):
    number: Annotated[int, Meta(ge=1, description="Of the sight: a gateway counts one about each second.")]
    at: Annotated[float, Meta(description="Unix seconds.")]
    stops: NotRequired[Annotated[list[SettledStop], Meta(description="Those settled since the sight before.")]]


class Snapshot(_Message):
    """All there is. First of all, and whenever a console has missed a sight: it forgets what it held."""

    type: Literal["snapshot"]
    responses: list[Row]
    workers: list[ShownWorker]
    gateways: list[AboutGateway]
    broadcasts: list[ShownBroadcast]


class Changes(_Message):
    """What differs from the sight before: those members that say something."""

    type: Literal["changes"]
    upserts: NotRequired[Annotated[list[Row], Meta(description="New, or changed.")]]
    tokens: NotRequired[
        Annotated[
            dict[ResponseId, Annotated[Sequence[float], Meta(min_length=2, max_length=2)]],
            Meta(description="`[tokens, tokens_per_s]` of rows where nothing else changed."),
        ]
    ]
    removals: NotRequired[Annotated[list[ResponseId], Meta(description="Ended, or out of the filter.")]]
    # Each of these is the whole part, if any of it changed.
    workers: NotRequired[list[ShownWorker]]
    gateways: NotRequired[list[AboutGateway]]
    broadcasts: NotRequired[list[ShownBroadcast]]


def settled_stop(entry: Entry) -> SettledStop:
    """Write a settled stop."""

    def after(time: float | None) -> float | None:
        return None if time is None or entry.recorded is None else round(time - entry.recorded, 6)

    return {
        "response_id": entry.response_id,
        "tenant": entry.tenant,
        "by": entry.asker.by,
        "door": entry.asker.door,
        "reason": entry.reason,
        "recorded": entry.recorded,
        "acked_s": after(entry.acked),
        "upstream_closed_s": after(entry.upstream_closed),
        "settled_s": after(entry.settled),
    }
