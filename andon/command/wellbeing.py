"""Wellbeing: one look at a server or at the workers of this host.

Owns what counts as well. A server: it answers 200. A worker, which need not listen anywhere: an id of this host holds a
lease in Redis. It claims nothing before its lease stands and its stop channel is confirmed, so a lease means that it
takes jobs and hears stops; and the lease of one that hangs runs out. Reads only.
"""

import socket
from typing import Final

from andon.command.failure import CommandFailed
from andon.command.probe import get
from andon.database import Database
from andon.errors import StoreUnavailable
from andon.lease import Leases
from andon.logs import configure_logs
from andon.settings import load_settings

_OK: Final = 200
_LOOK_S: Final = 3.0


async def check_server(url: str) -> None:
    """Ask the server once. Raises CommandFailed if it does not answer 200 within the time of a look."""
    try:
        status, body = await get(url, timeout_s=_LOOK_S)
    except OSError as error:
        raise CommandFailed(f"nobody answers at {url}: {error}") from error
    if status != _OK:
        raise CommandFailed(f"{url} answers {status}: {body.decode(errors='replace').strip()}")


async def check_worker(host: str | None = None) -> None:
    """Look for a standing lease of this host. Raises StartError without Redis, CommandFailed without a lease."""
    host = host or socket.gethostname()
    settings = load_settings()
    configure_logs("error")  # one line says what is wrong; the connection's own words would be others
    database = Database(settings.redis_url, timeout_s=settings.command_timeout_s)
    async with database.open():
        await database.wait_connected(_LOOK_S)
        leases = Leases(database, lease_s=settings.lease_s)
        try:
            standings = await leases.standings()
        except StoreUnavailable as error:
            raise CommandFailed(f"Redis went away during the look: {error}") from error
    if not any(each.about.host == host and each.left_s > 0 and not each.is_dead for each in standings):
        raise CommandFailed(f"no worker of host {host} holds a lease: it is starting, has lost Redis, or hangs")
