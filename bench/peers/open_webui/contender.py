"""What Open WebUI's stop is to the bench."""

from typing import Final

from bench.contender import Ability
from bench.peers import environment
from bench.peers.peer import Peer

# The publish-and-cancel of Open WebUI in a minimal server.
OPEN_WEBUI: Final = Peer(
    name="open_webui",
    title="Open WebUI's stop",
    version=f"as in open-webui 0.12.4, on {environment.versions('fastapi', 'uvicorn', 'redis', 'openai')}",
    web="bench.peers.open_webui.server:app",
    abilities=frozenset({Ability.STOP, Ability.STOP_ELSEWHERE, Ability.REPLICAS}),
)
