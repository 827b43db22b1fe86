"""Slots: which of a cluster's 16,384 slots a command touches, who owns each, and what a node says when it does not.

Pure. Guarantees: a command has the slot that the server computes for it, for every command that is used here; one whose
keys stand elsewhere than in the table below must be added to it.
"""

from typing import Any, Final

import msgspec
from redis.crc import key_slot

from andon.address import Node
from andon.link import Argument

SLOTS: Final = 16384

# Where a command's first key stands, if not right after its name. All keys of a command are of one slot.
_KEY_AT: Final = {"EVALSHA": 3, "EVAL": 3, "XGROUP": 2, "XINFO": 2, "OBJECT": 2, "MEMORY": 2}
# Commands that any node may answer.
_KEYLESS: Final = frozenset(
    {"PING", "ECHO", "TIME", "INFO", "CONFIG", "CLIENT", "CLUSTER", "SCRIPT", "COMMAND", "ROLE", "DBSIZE", "PUBLISH"}
)
_STREAM_READS: Final = frozenset({"XREADGROUP", "XREAD"})


def slot_of(name: str | bytes) -> int:
    """Return the slot of a key or a sharded channel."""
    return int(key_slot(name if isinstance(name, bytes) else name.encode()))


def slot_of_command(args: tuple[Argument, ...]) -> int | None:
    """Return the slot of a command's keys; None for one that any node may answer."""
    name = str(args[0]).upper()
    if name in _KEYLESS:
        return None
    at = args.index("STREAMS") + 1 if name in _STREAM_READS else _KEY_AT.get(name, 1)
    key = args[at]
    return slot_of(key if isinstance(key, str | bytes) else str(key))


class Redirect(msgspec.Struct, frozen=True):
    """Another node is the one to ask: for this command alone (`is_ask`), or for the slot from now on."""

    slot: int
    node: Node
    is_ask: bool


def parse_redirect(told: str, asked: Node) -> Redirect | None:
    """Read `MOVED 3999 host:port` or `ASK ...`, as said by the node that was asked; None for any other error."""
    kind, _, rest = told.partition(" ")
    if kind not in {"MOVED", "ASK"}:
        return None
    slot, _, where = rest.partition(" ")
    host, _, port = where.rpartition(":")
    # Without a host: the same as of who says it (`cluster-preferred-endpoint-type unknown-endpoint`).
    return Redirect(int(slot), (host.strip("[]") or asked[0], int(port)), kind == "ASK")


class SlotMap:
    """Who owns which slot."""

    def __init__(self) -> None:
        self._owners: list[Node | None] = [None] * SLOTS
        # The owners, once asked for; None when they may have changed.
        self._nodes: frozenset[Node] | None = None

    def owner(self, slot: int) -> Node | None:
        """Return the master of a slot; None if nobody is known to own it."""
        return self._owners[slot]

    def move(self, slot: int, node: Node) -> None:
        """Take note of one slot's new owner."""
        self._owners[slot] = node
        self._nodes = None

    def nodes(self) -> frozenset[Node]:
        """Return all owners."""
        if self._nodes is None:
            self._nodes = frozenset(owner for owner in set(self._owners) if owner is not None)
        return self._nodes

    def __eq__(self, other: object) -> bool:
        """Tell whether every slot has the same owner."""
        return isinstance(other, SlotMap) and self._owners == other._owners

    __hash__ = None  # type: ignore[assignment]  # it changes


def parse_slots(rows: list[Any], asked: Node) -> SlotMap:
    """Read the reply of CLUSTER SLOTS, as given by the node that was asked."""
    found = SlotMap()
    for first, last, master, *_ in rows:
        host = master[0].decode() if master[0] else ""
        if host == "?":
            continue  # a node that has no name yet, where names are preferred
        owner = (host or asked[0], int(master[1]))
        for slot in range(int(first), int(last) + 1):
            found.move(slot, owner)
    return found


def parse_epoch(text: bytes) -> int:
    """Read from CLUSTER INFO the current epoch, as known to the node that was asked: it grows with each change."""
    fields = dict(line.split(":", 1) for line in text.decode().split() if ":" in line)
    return int(fields["cluster_current_epoch"])
