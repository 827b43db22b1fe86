"""A master with a replica, and three sentinels that watch them; real processes on loopback.

Owns their start, what a failover is, and their end. Two of three sentinels make a majority.
"""

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from andon.embedded import EmbeddedValkey, server_binary
from andon.embedded_home import Home
from andon.supervised import spawn

from .ports import free_port
from .servers import Servers, client_of, on_a_free_port, role, until

SERVICE = "andon-test"
_CONFIG = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}
# Long enough that a busy machine alone makes nobody believe the master dead.
_DOWN_AFTER_MS = 2000
_HOST = "127.0.0.1"


class Sentinel:
    """One sentinel process."""

    def __init__(self, master_port: int) -> None:
        self.port = free_port()
        self._home = Home.create()
        config = self._home.path / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {_HOST}\ndir {self._home.path}\n"
            f"sentinel monitor {SERVICE} {_HOST} {master_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        with (self._home.path / "sentinel.log").open("ab") as log:
            self.process: subprocess.Popen[bytes] = spawn([str(server_binary()), str(config), "--sentinel"], output=log)
        self._home.adopt(self.process.pid)

    def call(self, *command: str) -> Any:
        """Run one command of SENTINEL."""
        client: Any = redis.Redis(_HOST, self.port, decode_responses=True, socket_timeout=5.0)
        with contextlib.closing(client):
            return client.execute_command("SENTINEL", *command)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._home.close()


class SentinelTrio(Servers):
    """A master, a replica, three sentinels."""

    def __init__(self, *, appendonly: Path | None = None, config: dict[str, str] | None = None) -> None:
        super().__init__()
        self._appendonly = appendonly
        self._config = {**_CONFIG, **(config or {})}
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        """The address for ANDON_REDIS_URL."""
        hosts = ",".join(f"{_HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    @property
    def ports(self) -> list[int]:
        """Those of the data servers, and of the sentinels."""
        return [*super().ports, *(sentinel.port for sentinel in self.sentinels)]

    def start(self) -> None:
        """Start all, and return when the sentinels know the replica and each other."""
        try:
            self.nodes = [on_a_free_port(self._make_node(number)) for number in range(2)]
            master, replica = self.nodes
            with client_of(replica) as client:
                client.replicaof(_HOST, master.port)
            until(lambda: _in_step(replica), "the replica is in step")
            self.sentinels = [Sentinel(master.port or 0) for _ in range(3)]
            until(lambda: all(_knows_all(sentinel) for sentinel in self.sentinels), "the sentinels know each other")
        except BaseException:
            self.stop()
            raise

    def _make_node(self, number: int) -> Callable[[int], EmbeddedValkey]:
        kept = None if self._appendonly is None else self._appendonly / str(number)
        return lambda port: EmbeddedValkey(port=port, appendonly=kept, config=self._config)

    def stop(self) -> None:
        """End all."""
        for sentinel in self.sentinels:
            sentinel.stop()
        super().stop()

    def wait_whole(self) -> None:
        """Wait until the replica has what the master has."""
        until(lambda: any(role(node) == "slave" and _in_step(node) for node in self.nodes), "the replica is in step")

    def failover(self, *, coordinated: bool = False) -> None:
        """Order a failover, and return when the other node is the master and the old one its replica.

        Coordinated, the old master takes no writes until the other has them all; else those of a moment are lost.
        """
        old = self.holder("")
        how = ("COORDINATED",) if coordinated else ()
        until(lambda: self.sentinels[0].call("FAILOVER", SERVICE, *how), "a sentinel takes the order")
        until(lambda: role(old) == "slave" and self.masters(), "the roles are changed")


def _in_step(replica: EmbeddedValkey) -> bool:
    with client_of(replica) as client:
        return bool(client.info("replication")["master_link_status"] == "up")


def _knows_all(sentinel: Sentinel) -> bool:
    master = sentinel.call("MASTER", SERVICE)
    return (master["num-slaves"], master["num-other-sentinels"]) == ("1", "2")
