"""Gateway: one gateway as it was named to the doctor, load balancers and all, asked over HTTP and by WebSocket.

Owns the addresses made of that name. Does not own what is asked.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2

from andon.client import CannotConnect, Client, connect

_HTTP = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """`url`: as it was given."""

    url: str
    token: str | None

    @property
    def shown(self) -> str:
        """Its name in findings: scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{_HTTP[parts.scheme]}://{parts.netloc.rpartition('@')[2]}"

    def http(self, *, patience_s: float) -> httpx2.AsyncClient:
        """Make a client of its HTTP door."""
        host = urlsplit(self.url).hostname or ""
        return httpx2.AsyncClient(
            base_url=self.shown,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            timeout=patience_s,
            # A proxy that the environment names is not the way to this machine.
            trust_env=not _is_loopback(host),
        )

    def socket(self, session: str) -> AbstractAsyncContextManager[Client]:
        """Open a socket. Raises CannotConnect on entry."""
        return connect(self.url, session=session, on_stop="keep", token=self.token)


def gateway_at(url: str, token: str | None) -> GatewayAddress:
    """Take a name for a gateway's. Raises CannotConnect for what cannot be one."""
    parts = urlsplit(url)
    if parts.scheme not in _HTTP or not parts.hostname:
        raise CannotConnect(f"{url!r} is no address of a gateway; it looks like http://127.0.0.1:21100")
    return GatewayAddress(url, token)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
