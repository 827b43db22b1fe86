"""What Andon's shape in SDK objects is to the bench."""

from typing import Final

from bench.peers import environment
from bench.peers.peer import Peer

# Gateways and workers as Andon has them, with the SDK's objects and one pipeline of two commands a token.
SDK_OBJECTS: Final = Peer(
    name="sdk_objects",
    title="SDK objects and cancel",
    version=environment.versions("starlette", "uvicorn", "redis", "openai"),
    web="bench.peers.sdk_objects.gateway:app",
    workers="bench.peers.sdk_objects.worker",
)
