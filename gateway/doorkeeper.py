"""Doorkeeper: who may come in, over either door.

Owns the order of the checks: the page's origin, the place of the token, the token. Guarantees: whoever is let in is
told apart as `ANDON_AUTH` says; no error, and no line of the log, holds a token.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog
from starlette.requests import HTTPConnection

from andon.errors import ForbiddenError, RequestError, StartError
from andon.ids import ANONYMOUS, Principal
from andon.scopes import ADMIN_ALL
from andon.settings import Settings
from gateway.auth.jwt_tokens import JwtTokens
from gateway.auth.origins import Origins
from gateway.auth.permit import Authenticator, Permit
from gateway.auth.static_keys import StaticKeys
from gateway.auth.token import refuse_in_query, token_of

_log = structlog.get_logger(__name__)

# Settings that mean that callers are to be told apart, and by which kind.
_OF_KIND: Final = {
    "keys_file": "keys",
    "jwt_secret": "jwt",
    "jwt_public_key": "jwt",
    "jwt_jwks_url": "jwt",
    "jwt_issuer": "jwt",
    "jwt_audience": "jwt",
}


class Doorkeeper:
    """Tells callers apart, as `ANDON_AUTH` says. Raises StartError where the settings contradict one another."""

    def __init__(self, settings: Settings) -> None:
        _refuse_contradictions(settings)
        # With `none`, everybody is the same one. Where that one is only this machine's user it also is the operator;
        # where strangers come in, nobody is.
        is_for_this_machine = settings.auth == "none" and not settings.auth_none_is_meant
        scopes = frozenset({ADMIN_ALL}) if is_for_this_machine else frozenset()
        self._anonymous = Permit(msgspec.structs.replace(ANONYMOUS, scopes=scopes))
        self._origins = Origins(settings.allowed_origins, is_own_loopback_only=is_for_this_machine)
        # None: nobody is asked for a token.
        self._authenticator = _authenticator(settings)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep what tokens are checked with up to date for as long as the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            if self._authenticator is not None:
                await stack.enter_async_context(self._authenticator.open())
            yield

    async def admit(self, connection: HTTPConnection) -> Principal:
        """Tell who is calling. Raises RequestError (UnauthorizedError, ForbiddenError) or KeysUnavailable."""
        return (await self.permit(connection)).principal

    async def permit(self, connection: HTTPConnection) -> Permit:
        """Tell who is calling, and until when that holds. Raises as `admit` does."""
        try:
            self._origins.check(connection)
            refuse_in_query(connection)
            if self._authenticator is None:
                return self._anonymous
            return await self._authenticator.check(token_of(connection))
        except RequestError as error:
            client = connection.client
            _log.info("auth.refused", code=error.code, why=error.message, client=client.host if client else None)
            raise

    async def renew(self, permit: Permit, token: str) -> Permit:
        """Take another token of the same caller. Raises UnauthorizedError, ForbiddenError or KeysUnavailable."""
        if self._authenticator is None:
            return permit
        renewed = await self._authenticator.check(token)
        old, new = permit.principal, renewed.principal
        if (new.tenant, new.subject) != (old.tenant, old.subject):
            message = "The token is somebody else's: who calls cannot change on an open socket. Open another one."
            raise ForbiddenError("principal_mismatch", message, param="token")
        return renewed

    def lapsed(self, permit: Permit) -> str | None:
        """Say why what was let in once may stay no longer; None while it may."""
        return None if self._authenticator is None else self._authenticator.lapsed(permit, time.time())


def _authenticator(settings: Settings) -> Authenticator | None:
    match settings.auth:
        case "jwt":
            return JwtTokens(settings)
        case "keys":
            return StaticKeys(settings)
        case "none":
            return None


def _refuse_contradictions(settings: Settings) -> None:
    for field, kind in _OF_KIND.items():
        if getattr(settings, field) and settings.auth != kind:
            raise StartError(
                f"ANDON_{field.upper()} is set, but ANDON_AUTH={settings.auth}: set ANDON_AUTH={kind}, or unset it"
            )
