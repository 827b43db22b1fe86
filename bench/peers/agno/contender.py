"""What agno's stop is to the bench."""

from typing import Final

from bench.contender import Ability
from bench.peers import environment
from bench.peers.peer import Peer

# The polled flag of agno in a minimal server.
AGNO: Final = Peer(
    name="agno",
    title="agno's stop",
    version=f"as in agno 3.1.10, on {environment.versions('fastapi', 'uvicorn', 'redis', 'openai')}",
    web="bench.peers.agno.server:app",
    abilities=frozenset({Ability.STOP, Ability.STOP_ELSEWHERE, Ability.REPLICAS}),
)
