"""The dialect of the peers that speak Socket.IO (protocol 5, Engine.IO 4) on its WebSocket transport.

Owns what the two of them share on the client's side: the handshake, the heartbeat, and how an event is written. Which
events there are is each peer's own.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from bench.contender import Kind, Reading

# An Engine.IO packet begins with its type: 0 open, 2 ping, 3 pong, 4 message; in a message, a Socket.IO packet begins
# with its own: 0 connect, 2 event, 4 connect error.
_OTHER: Final = Reading(Kind.OTHER)
_READY: Final = Reading(Kind.READY)
_PONG: Final = Reading(Kind.OTHER, reply=b"3")


class SocketIoDialect:
    """One socket's dialect; it keeps no state."""

    target: str = "/socket.io/?EIO=4&transport=websocket"
    greeting: Sequence[bytes] = (b"40",)
    waits_for_ready: bool = True

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame is that is no event."""
        if frame.startswith(b"40"):
            return _READY
        if frame == b"2":
            return _PONG
        return Reading(Kind.FAILED) if frame.startswith(b"44") else _OTHER


def event(name: str, data: dict[str, Any]) -> bytes:
    """Return the frame of an event."""
    return b"42" + json.dumps([name, data], separators=(",", ":")).encode()


def data_of(frame: bytes) -> dict[str, Any]:
    """Return the data of an event's frame."""
    data: dict[str, Any] = json.loads(frame[2:])[1]
    return data
