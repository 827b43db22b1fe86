"""What the naive version is to the bench."""

from typing import Final

from bench.peers import environment
from bench.peers.peer import Peer

# A FastAPI gateway with a pub/sub connection a socket, and workers that publish token by token.
NAIVE: Final = Peer(
    name="naive",
    title="naive (as tutorials have it)",
    version=environment.versions("fastapi", "uvicorn", "redis", "openai"),
    web="bench.peers.naive.gateway:app",
    workers="bench.peers.naive.worker",
)
