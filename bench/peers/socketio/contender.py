"""What python-socketio is to the bench."""

from typing import Final

from bench.contender import Kind, Reading
from bench.peers import environment
from bench.peers.peer import Peer
from bench.peers.socketio_dialect import SocketIoDialect, data_of, event

_TOKENS: Final = Reading(Kind.TOKENS)
_ENDED: Final = Reading(Kind.ENDED)
_STOPPING: Final = Reading(Kind.STOPPING)
_FAILED: Final = Reading(Kind.FAILED)


class RoomDialect(SocketIoDialect):
    """Events of our own: `start`, `join`, `stop`; `started`, `token`, `stopping`, `done`, `failed`."""

    def create(self, prompt: str) -> bytes:
        """Return the frame that starts a response."""
        return event("start", {"prompt": prompt})

    def stop(self, response_id: str) -> bytes:
        """Return the frame that stops one, on whatever socket it is sent."""
        return event("stop", {"id": response_id})

    def attach(self, response_id: str) -> bytes:
        """Return the frame by which this socket enters its room, for the tokens from now on."""
        return event("join", {"id": response_id})

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame is."""
        if frame.startswith(b'42["token"'):
            return _TOKENS
        if frame.startswith(b'42["started"'):
            return Reading(Kind.STARTED, data_of(frame)["id"])
        if frame.startswith(b'42["stopping"'):
            return _STOPPING
        if frame.startswith(b'42["done"'):
            return _ENDED
        return _FAILED if frame.startswith(b'42["failed"') else super().read(frame)


# python-socketio with AsyncRedisManager under uvicorn.
SOCKETIO: Final = Peer(
    name="socketio",
    title="python-socketio",
    version=environment.versions("python-socketio", "python-engineio", "uvicorn", "redis", "openai"),
    web="bench.peers.socketio.server:app",
    speaks=RoomDialect,
)
