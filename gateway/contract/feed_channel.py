"""Feed channel: the operators' socket, from the shapes of `gateway.admin.feed`."""

from typing import Final

from andon.closecodes import CloseCode
from andon.events import ErrorEvent
from gateway.admin.feed import Changes, Snapshot
from gateway.admin.filter import FILTERS
from gateway.contract.channel import Channel, messages_of, operation, type_of
from gateway.contract.schemas import Schemas

_NAME: Final = "feed"
# A console is closed by none that end a response or its creation.
_CLOSED_WITH: Final = (
    CloseCode.INVALID_TEXT,
    CloseCode.FRAME_TOO_BIG,
    CloseCode.INTERNAL,
    CloseCode.RESTARTING,
    CloseCode.OVERLOADED,
    CloseCode.UNAUTHORIZED,
    CloseCode.FORBIDDEN,
    CloseCode.TOO_SLOW,
)


def feed_channel(schemas: Schemas) -> Channel:
    """Describe `/v1/admin/feed`."""
    meaning = "A snapshot, then what changes, about once a second; a console that is behind gets another snapshot."
    return Channel(
        name=_NAME,
        address="/v1/admin/feed",
        meaning="For operators: what is live. What a console sends is not read.",
        query=FILTERS,
        messages=messages_of((Snapshot, Changes, ErrorEvent), schemas),
        operations={"feed": operation(_NAME, "send", meaning, (type_of(Snapshot), type_of(Changes)))},
        close_codes=_CLOSED_WITH,
    )
