"""Doorkeeper: who may come in, over either door."""

import msgspec
from starlette.requests import HTTPConnection

from andon.ids import ANONYMOUS, Principal
from andon.scopes import ADMIN_ALL
from andon.settings import Settings


class Doorkeeper:
    """Tells callers apart, as `ANDON_AUTH` says."""

    def __init__(self, settings: Settings) -> None:
        # With `none`, everybody is the same one. Where that one is only this machine's user it also is the operator;
        # where strangers come in, nobody is.
        scopes = frozenset() if settings.auth_none_is_meant else frozenset({ADMIN_ALL})
        self._anonymous = msgspec.structs.replace(ANONYMOUS, scopes=scopes)

    async def admit(self, connection: HTTPConnection) -> Principal:
        """Tell who is calling."""
        del connection
        return self._anonymous
