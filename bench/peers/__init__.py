"""Peers: other ways to build what Andon does, run side by side with it.

`PEERS` is the registry; each peer is a directory of its own, whose README.md says what it stands for, where its
mechanism comes from, what it leaves out that Andon does, and the other way round. They run in an environment of their
own (`bench.peers.environment`), which must be installed before their processes are started.
"""

from collections.abc import Mapping
from typing import Final

from bench.contender import Contender
from bench.peers.agno.contender import AGNO
from bench.peers.naive.contender import NAIVE
from bench.peers.open_webui.contender import OPEN_WEBUI
from bench.peers.sdk_objects.contender import SDK_OBJECTS
from bench.peers.socketio.contender import SOCKETIO

_CONTENDERS: Final[tuple[Contender, ...]] = (NAIVE, SOCKETIO, OPEN_WEBUI, AGNO, SDK_OBJECTS)
PEERS: Final[Mapping[str, Contender]] = {contender.name: contender for contender in _CONTENDERS}
