"""Permit: what an authenticator makes of a token.

Owns the words between a doorkeeper and its authenticators. A permit never holds the token itself.
"""

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec

from andon.errors import UnauthorizedError
from andon.ids import Principal

# Why an open connection is closed with 3000.
EXPIRED: Final = "token_expired"
REVOKED: Final = "key_revoked"

_NAME_MAX_CHARS: Final = 256


class Permit(msgspec.Struct, frozen=True):
    """Who was let in, and until when."""

    principal: Principal
    # Unix seconds; None: for as long as it is not revoked.
    expires_at: float | None = None
    # Digest of the key that it was got with, where there is one to be revoked.
    key: str | None = None


class Authenticator(Protocol):
    """Checks tokens of one kind."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Keep what it checks with up to date for as long as the context lasts."""
        ...

    async def check(self, token: str) -> Permit:
        """Tell whose token this is. Raises UnauthorizedError, or KeysUnavailable. Cancelling it is safe."""
        ...

    def lapsed(self, permit: Permit, now: float) -> str | None:
        """Say why a permit holds no more at this Unix time; None while it does. Cheap: asked for every socket."""
        ...


def invalid_token(why: str) -> UnauthorizedError:
    """Say that a token does not count, and why; never what it says."""
    return UnauthorizedError("invalid_token", f"{why} Get a new token.")


def is_name(value: object) -> bool:
    """Tell whether this can be a tenant or a subject: text of 1 to 256 characters that can be written down.

    Not empty: to the stop script an empty name means anybody's.
    """
    return isinstance(value, str) and 0 < len(value) <= _NAME_MAX_CHARS and value.isprintable()
