"""Ports for servers that are about to be started: is this one free, and which is the next.

A free port may be taken by someone else before the server binds it; the server then says so itself.
"""

import socket
from collections.abc import Collection

from andon.command.failure import CommandFailed

_TRIES = 200


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen on `port` now. A port left by a server that just ended counts as free."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def claim(host: str, port: int) -> int:
    """Return `port` if it is free. Raises CommandFailed if not: it was asked for, so no other will do."""
    if not is_free(host, port):
        raise CommandFailed(f"cannot listen on {host}:{port}: the port is taken, or the address is not ours")
    return port


def next_free(host: str, first: int, taken: Collection[int] = ()) -> int:
    """Return the first free port from `first` on that is not in `taken`. Raises CommandFailed when there is none."""
    for port in range(first, min(first + _TRIES, 65536)):
        if port not in taken and is_free(host, port):
            return port
    raise CommandFailed(f"no free port on {host} from {first} on; name one with --port")
