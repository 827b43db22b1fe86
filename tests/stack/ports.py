"""Ports: free ones, for servers that must be told theirs.

Owns the choice. A port is free when it is given out, and is given out once a process; nothing holds it until the server
listens, so whoever starts one is ready to try again.
"""

import random
import socket

# Below the ephemeral range: no outgoing connection takes one of these meanwhile.
_FIRST, _LAST = 22_800, 29_900
_given: set[int] = set()


def free_port() -> int:
    """Return a port of the loopback interface on which nothing listens."""
    while True:
        port = random.randrange(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
