"""A cluster of three masters with a replica each; real processes on loopback.

Owns their start, what a failover is, the moving of a slot from one master to another, and their end.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from andon.embedded import EmbeddedValkey
from andon.slots import SLOTS, slot_of

from .ports import free_port
from .servers import Servers, client_of, on_a_free_port, role, until

_HOST = "127.0.0.1"
_MASTERS = 3
# Long enough that a busy machine alone makes nobody believe a master dead.
_CONFIG = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
}
_KEYS_AT_ONCE = 100
_MIGRATE_MS = 5000


class ClusterOfThree(Servers):
    """Three masters, each with `replicas` replicas."""

    def __init__(
        self, *, replicas: int = 1, appendonly: Path | None = None, config: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self._count = _MASTERS * (1 + replicas)
        self._appendonly = appendonly
        self._config = {**_CONFIG, **(config or {})}

    @property
    def url(self) -> str:
        """The address for ANDON_REDIS_URL: two of the nodes, which know the others."""
        return f"redis+cluster://{','.join(f'{_HOST}:{node.port}' for node in self.nodes[:2])}"

    def start(self) -> None:
        """Start all, make them one cluster, and return when each sees it whole."""
        try:
            self.nodes = [on_a_free_port(self._make_node(number)) for number in range(self._count)]
            share = SLOTS // _MASTERS
            for number, node in enumerate(self.nodes):
                _do(node, "SET-CONFIG-EPOCH", number + 1)
                if number < _MASTERS:
                    last = SLOTS - 1 if number == _MASTERS - 1 else (number + 1) * share - 1
                    _do(node, "ADDSLOTSRANGE", number * share, last)
            for node in self.nodes[1:]:
                _do(node, "MEET", _HOST, self.nodes[0].port, int(self._bus(node)))
                _do(self.nodes[0], "MEET", _HOST, node.port, int(self._bus(node)))
            until(lambda: all(_knows(node, self._count) for node in self.nodes), "the nodes know each other")
            for number, replica in enumerate(self.nodes[_MASTERS:]):
                _replicate(replica, _do(self.nodes[number % _MASTERS], "MYID"))
            self.wait_whole()
        except BaseException:
            self.stop()
            raise

    def wait_whole(self) -> None:
        """Wait until every node sees the cluster up, and every replica is in step."""
        until(lambda: all(_is_whole(node) for node in self.nodes), "the cluster is up, its replicas in step")

    def holder(self, key: str) -> EmbeddedValkey:
        """Return the master that owns the slot of this key. Waits until there is one."""
        return until(lambda: self._owner(slot_of(key)), "the slot has a master")

    def failover(self, *, coordinated: bool = False) -> None:
        """Let every replica take over from its living master, and return when all have."""
        del coordinated
        for master in self.masters():
            self._fail_over(master)

    def move_slot(self, key: str, *, while_moving: Callable[[], None] | None = None) -> EmbeddedValkey:
        """Move a key's slot, keys and all, to another master; return that. `while_moving`: when the keys are there."""
        source, slot = self.holder(key), slot_of(key)
        target = next(node for node in self.masters() if node is not source)
        source_id, target_id = _do(source, "MYID"), _do(target, "MYID")
        _do(target, "SETSLOT", slot, "IMPORTING", source_id)
        _do(source, "SETSLOT", slot, "MIGRATING", target_id)
        with client_of(source) as client:
            while names := _do(source, "GETKEYSINSLOT", slot, _KEYS_AT_ONCE):
                client.execute_command("MIGRATE", _HOST, target.port, "", 0, _MIGRATE_MS, "KEYS", *names)
        if while_moving is not None:
            while_moving()
        for node in (target, source, *(other for other in self.masters() if other not in {target, source})):
            _do(node, "SETSLOT", slot, "NODE", target_id)
        return target

    def _fail_over(self, master: EmbeddedValkey) -> None:
        replica = until(lambda: self._replica_of(master), "the master has a replica")

        def order() -> bool:
            return bool(_do(replica, "FAILOVER") == "OK")

        until(order, "a replica takes the order")
        until(lambda: role(replica) == "master" and role(master) == "slave", "the roles are changed")
        until(lambda: all(_is_whole(node) for node in (master, replica)), "the old master is in step")

    def _replica_of(self, master: EmbeddedValkey) -> EmbeddedValkey | None:
        with client_of(master) as client:
            ports = {int(port) for _, port, _ in client.execute_command("ROLE")[2]}
        return next((node for node in self.nodes if node.port in ports), None)

    def _owner(self, slot: int) -> EmbeddedValkey | None:
        for node in self.masters():
            for first, last, (_, port, *_), *_ in _do(node, "SLOTS"):
                if first <= slot <= last and port == node.port:
                    return node
        return None

    def _make_node(self, number: int) -> Callable[[int], EmbeddedValkey]:
        kept = None if self._appendonly is None else self._appendonly / str(number)
        return lambda port: EmbeddedValkey(
            port=port, appendonly=kept, config={**self._config, "cluster-port": str(free_port())}
        )

    @staticmethod
    def _bus(node: EmbeddedValkey) -> str:
        with client_of(node) as client:
            return str(client.config_get("cluster-port")["cluster-port"])


def _do(node: EmbeddedValkey, *command: str | int | None) -> Any:
    """Run one command of CLUSTER."""
    with client_of(node) as client:
        client.response_callbacks.clear()  # replies as they come
        return client.execute_command("CLUSTER", *command)


def _replicate(replica: EmbeddedValkey, master_id: str) -> None:
    """Make a node a replica. Until its handshake with the master is over it knows that by another id."""
    until(lambda: bool(_do(replica, "REPLICATE", master_id)), "a node becomes a replica of its master")


def _knows(node: EmbeddedValkey, count: int) -> bool:
    return f"cluster_known_nodes:{count}\r\n" in _do(node, "INFO")


def _is_whole(node: EmbeddedValkey) -> bool:
    if "cluster_state:ok" not in _do(node, "INFO"):
        return False
    with client_of(node) as client:
        about = client.info("replication")
    return bool(about["role"] == "master" or about["master_link_status"] == "up")
