"""Servers: the shared state of a stack, as one server, as Sentinel's, or as a cluster; real processes each.

Owns what all three have in common: their start and end, who is master, and a client of the master that holds a key.
The kinds are below and in `tests.stack.sentinel_trio` and `tests.stack.cluster_of_three`.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import redis
from redis.exceptions import RedisError

from andon.embedded import EmbeddedValkey, EmbeddedValkeyError
from andon.errors import StartError

from .ports import free_port

_POLL_S = 0.02
SETTLED_S = 40.0  # an election takes some seconds; on a loaded machine it may have to be repeated
_TRIES = 5

T = TypeVar("T")


class Servers(ABC):
    """The servers behind one `ANDON_REDIS_URL`. `nodes`: those that hold data, masters and replicas."""

    def __init__(self) -> None:
        self.nodes: list[EmbeddedValkey] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for ANDON_REDIS_URL."""

    @property
    def ports(self) -> list[int]:
        """Every port at which a client may be sent to one of them, once they run; none for one that has a socket."""
        return [node.port for node in self.nodes if node.port is not None]

    @abstractmethod
    def start(self) -> None:
        """Start all of it, and return when it takes writes."""

    def stop(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.stop()

    def wait_whole(self) -> None:  # noqa: B027  one server is whole
        """Wait until every replica that there is has what its master has."""

    def masters(self) -> list[EmbeddedValkey]:
        """Return the nodes that live and say that they are masters."""
        return [node for node in self.nodes if role(node) == "master"]

    def holder(self, key: str) -> EmbeddedValkey:
        """Return the master that holds this key. Waits until there is one."""
        del key
        return until(lambda: next(iter(self.masters()), None), "there is a master")

    def failover(self, *, coordinated: bool = False) -> None:
        """Let every replica that there is take over from its master, and return when it has.

        `coordinated`: so that nothing is lost; a cluster's always is.
        """
        del coordinated
        raise NotImplementedError("one server has no replica")

    @contextlib.contextmanager
    def client(self, key: str) -> Iterator[Any]:
        """Open a client of the master that holds this key."""
        with client_of(self.holder(key)) as opened:
            yield opened


class Standalone(Servers):
    """One server; a Unix socket."""

    def __init__(self, *, appendonly: Path | None = None, config: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.nodes = [EmbeddedValkey(appendonly=appendonly, config=config)]

    @property
    def url(self) -> str:
        """The address for ANDON_REDIS_URL."""
        return self.nodes[0].url

    def start(self) -> None:
        """Start it."""
        self.nodes[0].start()

    def masters(self) -> list[EmbeddedValkey]:
        """Return the one server, in whatever state it is."""
        return self.nodes


@contextlib.contextmanager
def client_of(node: EmbeddedValkey, *, timeout_s: float = 15.0) -> Iterator[Any]:
    """Open a client of one node. Its time-out is for a loaded machine, unless the node may be frozen."""
    client: Any = redis.Redis.from_url(node.url, decode_responses=True, socket_timeout=timeout_s)
    try:
        yield client
    finally:
        client.close()


def role(node: EmbeddedValkey) -> str | None:
    """Return `master` or `slave`; None for a node that does not answer."""
    try:
        with client_of(node, timeout_s=1.0) as client:
            return str(client.execute_command("ROLE")[0])
    except (RedisError, OSError, StartError):
        return None


def until(look: Callable[[], T | None], what: str) -> T:
    """Return the first true value of `look`. Raises AssertionError after SETTLED_S."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        with contextlib.suppress(RedisError, OSError):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"not within {SETTLED_S:g} s: {what}"
        time.sleep(_POLL_S)  # between two looks; servers have no other way of saying so


def on_a_free_port(make: Callable[[int], EmbeddedValkey]) -> EmbeddedValkey:
    """Start a server on a free port; on another one if somebody was faster."""
    for attempt in range(_TRIES):
        node = make(free_port())
        try:
            node.start()
        except EmbeddedValkeyError:
            if attempt == _TRIES - 1:
                raise
        else:
            return node
    raise AssertionError("unreachable")
