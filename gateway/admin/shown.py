"""Shown: how a broadcast is written for those who ask."""

from typing import Any

import msgspec

from andon.broadcasts import Broadcast


def broadcast_row(broadcast: Broadcast) -> dict[str, Any]:
    """Write a broadcast. `within`: the one tenant that it is bound to; null: none."""
    asker = broadcast.asker
    return {
        "id": broadcast.id,
        "object": "broadcast_stop",
        "state": broadcast.state,
        "scope": msgspec.to_builtins(broadcast.scope),
        "within": broadcast.within,
        "by": {"tenant": asker.principal.tenant, "subject": asker.principal.subject} if asker.principal else None,
        "reason": broadcast.reason,
        "asked_at": broadcast.asked_at,
        "ended_at": broadcast.ended_at,
        "progress": msgspec.to_builtins(broadcast.advance),
    }
