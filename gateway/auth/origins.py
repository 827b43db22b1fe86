"""Origins: which web pages may call.

A browser sends a page's `Origin` with every WebSocket handshake, and lets any page open one: nothing but this check
keeps a stranger's page from a gateway that its visitor can reach. Programs that are no browser send none.
"""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection

from andon.errors import ForbiddenError

_PORTS: Final = {"http": 80, "https": 443}


class Origins:
    """The allowed ones, and the gateway's own.

    `is_own_loopback_only`: the gateway's own host counts only under a name of this machine itself. Where no token is
    asked for, a page could otherwise come in by a name of its own that it lets point here (DNS rebinding).
    """

    def __init__(self, allowed: tuple[str, ...], *, is_own_loopback_only: bool) -> None:
        self._allowed = frozenset(origin.lower() for origin in allowed)
        self._is_own_loopback_only = is_own_loopback_only

    def check(self, connection: HTTPConnection) -> None:
        """Raise ForbiddenError for a page that may not call."""
        origin = connection.headers.get("origin")
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
            return
        if not self._is_own(origin, connection.headers.get("host", "")):
            message = f"Pages of {origin[:200]!r} may not call this gateway. Name that origin in ANDON_ALLOWED_ORIGINS."
            raise ForbiddenError("origin_not_allowed", message)

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            page, here = urlsplit(origin), urlsplit(f"//{host}")
            default = _PORTS.get(page.scheme)
            is_own = page.hostname is not None and _place(page, default) == _place(here, default)
        except ValueError:  # a port that is no number
            return False
        return is_own and (not self._is_own_loopback_only or _is_loopback(page.hostname or ""))


def _place(parts: SplitResult, default_port: int | None) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or default_port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
