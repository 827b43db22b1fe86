"""The translator: one upstream stream's events in, pieces out. No I/O.

Owns the Protocol that `responses` and `chat` meet, and the context they share. Guarantees of every translator: at
most one Finish, nothing after it, and no exception for anything an upstream may send: garbage becomes a
Finish(failed), and so does a stream that ends without its finish.
"""

import secrets
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from andon.pieces import Failure, Piece
from worker.upstream.failures import garbage_failure
from worker.upstream.redact import Redact, redactor
from worker.upstream.sse import SseEvent

NewId: TypeAlias = Callable[[str], str]


def random_id(prefix: str) -> str:
    """Return an id such as OpenAI gives items and calls: a prefix and 128 random bits."""
    return f"{prefix}_{secrets.token_hex(16)}"


class TranslatorContext(msgspec.Struct, frozen=True):
    """What a translator needs from outside.

    A maker of ids (it gets the prefix), a redactor of foreign text, and what a client is told of a Responses event that
    is none (it gets the reason).
    """

    new_id: NewId = random_id
    redact: Redact = msgspec.field(default_factory=redactor)
    garbage: Callable[[str], Failure] = garbage_failure


class Translator(Protocol):
    """Turns the events of one stream into pieces. Made anew for every stream."""

    @property
    def finished(self) -> bool:
        """Whether the Finish was given; everything after it is ignored."""
        ...

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """The latest usage the upstream told, in the Responses shape, complete with details; None if it told none."""
        ...

    def feed(self, event: SseEvent) -> list[Piece]:
        """Take one event and return its pieces, often one, possibly none."""
        ...

    def eof(self) -> list[Piece]:
        """Take the end of the stream; without a finish that is Finish(failed, Cause.UPSTREAM_CUT)."""
        ...
