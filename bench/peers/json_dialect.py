"""The dialect of the peers that speak JSON on a plain WebSocket: all but python-socketio.

Owns the client's side of it, as `bench.contender.Dialect` wants it. The servers write `type` first, with a blank after
the colon (`json.dumps`) or without (orjson); that is what the prefixes here rest on.

From the client: `{"type": "start", "prompt"}`, `{"type": "stop", "id"}`, `{"type": "join", "id"}`. From the server:
`started` with the `id`, `token` with the `text`, `stopping`, and in the end `done` or `error`.
"""

import json
from collections.abc import Sequence
from typing import Final

from bench.contender import Kind, Reading

_TOKEN: Final = (b'{"type": "token"', b'{"type":"token"')
_TOKENS: Final = Reading(Kind.TOKENS)
_OTHER: Final = Reading(Kind.OTHER)
_ENDINGS: Final = {"stopping": Kind.STOPPING, "done": Kind.ENDED, "error": Kind.FAILED}


class JsonDialect:
    """One socket's dialect; it keeps no state."""

    target: str = "/ws"
    greeting: Sequence[bytes] = ()
    waits_for_ready: bool = False

    def create(self, prompt: str) -> bytes:
        """Return the frame that starts a response."""
        return json.dumps({"type": "start", "prompt": prompt}).encode()

    def stop(self, response_id: str) -> bytes:
        """Return the frame that stops one, on whatever socket it is sent."""
        return json.dumps({"type": "stop", "id": response_id}).encode()

    def attach(self, response_id: str) -> bytes:
        """Return the frame by which this socket gets its tokens too, from now on."""
        return json.dumps({"type": "join", "id": response_id}).encode()

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame is."""
        if frame.startswith(_TOKEN):
            return _TOKENS
        message = json.loads(frame)
        if message["type"] == "started":
            return Reading(Kind.STARTED, message["id"])
        kind = _ENDINGS.get(message["type"])
        return _OTHER if kind is None else Reading(kind)
