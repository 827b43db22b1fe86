"""Shown: how a broadcast and a worker are written for those who ask, in a list as in the feed."""

from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta

from andon.broadcasts import Advance, Broadcast, BroadcastId, Scope, State
from andon.ids import WorkerId
from andon.lease import About, Standing


class Caller(TypedDict):
    """Who asked."""

    tenant: str
    subject: str


class ShownBroadcast(msgspec.Struct, frozen=True, tag_field="object", tag="broadcast_stop"):
    """A broadcast stop. Times are Unix seconds by Redis."""

    id: BroadcastId
    state: State
    scope: Scope
    within: Annotated[str | None, Meta(description="The one tenant that it is bound to; null: none.")]
    by: Caller | None
    reason: str | None
    asked_at: float
    ended_at: float | None
    progress: Advance


def broadcast_row(broadcast: Broadcast) -> ShownBroadcast:
    """Write a broadcast."""
    principal = broadcast.asker.principal
    return ShownBroadcast(
        id=broadcast.id,
        state=broadcast.state,
        scope=broadcast.scope,
        within=broadcast.within,
        by={"tenant": principal.tenant, "subject": principal.subject} if principal else None,
        reason=broadcast.reason,
        asked_at=broadcast.asked_at,
        ended_at=broadcast.ended_at,
        progress=broadcast.advance,
    )


class ShownWorker(About, frozen=True, kw_only=True):
    """A worker, and what it says of itself."""

    id: WorkerId
    state: Annotated[
        Literal["live", "draining", "overdue", "dead"], Meta(description="`overdue`: its lease has run out.")
    ]
    lease_left_s: Annotated[float, Meta(description="Negative: it ran out so long ago.")]


def worker_row(standing: Standing) -> ShownWorker:
    """Write a worker."""
    return ShownWorker(
        id=standing.id,
        state=_state(standing),
        lease_left_s=standing.left_s,
        **msgspec.structs.asdict(standing.about),
    )


def _state(standing: Standing) -> Literal["live", "draining", "overdue", "dead"]:
    if standing.is_dead:
        return "dead"
    if standing.left_s < 0:
        return "overdue"
    return "draining" if standing.about.draining else "live"
