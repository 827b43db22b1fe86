"""Survey: which Redis servers there are behind `ANDON_REDIS_URL`, and a line to each.

Owns the asking of sentinels and cluster nodes for all others, masters and replicas. Guarantees: what cannot be reached
is a finding, and the rest is looked at all the same.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from andon.address import Address, Node, Topology, parse_address, without_password
from andon.connection import OpenConnection
from andon.database import connection_maker
from andon.doctor.finding import Finding, Verdict, fail, ok, warn, worst
from andon.doctor.line import Line, open_line
from andon.doctor.server import Server
from andon.doctor.unreachable import unreachable
from andon.settings import Settings

_SETTING: Final = "ANDON_REDIS_URL"


@dataclass(slots=True)
class Survey:
    """What is there. `sentinels`: name and line of each that answers."""

    address: Address
    servers: list[Server] = field(default_factory=list)
    sentinels: list[tuple[str, Line]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def masters(self) -> list[Server]:
        """Those that take writes, as the topology says."""
        return [server for server in self.servers if not server.is_replica]


@contextlib.asynccontextmanager
async def survey(settings: Settings, *, patience_s: float) -> AsyncIterator[Survey]:
    """Find the servers and keep a line to each, for the length of a block."""
    made = Survey(parse_address(settings.redis_url))
    async with contextlib.AsyncExitStack() as stack:
        surveyor = _Surveyor(made, stack, patience_s)
        await surveyor.go()
        if not made.findings:
            count = f"{len(made.servers)} servers" if len(made.servers) > 1 else "it"
            made.findings.append(ok(f"{without_password(settings.redis_url)}: {count} can be reached"))
        yield made


class _Surveyor:
    def __init__(self, made: Survey, stack: contextlib.AsyncExitStack, patience_s: float) -> None:
        self._made = made
        self._address = made.address
        self._stack = stack
        self._patience_s = patience_s

    async def go(self) -> None:
        match self._address.topology:
            case Topology.STANDALONE:
                await self._add(without_password(self._address.url), self._address.url, is_replica=False)
            case Topology.SENTINEL:
                await self._ask_sentinels()
            case Topology.CLUSTER:
                await self._ask_nodes()

    async def _open(self, name: str, url: str, *, needed: bool) -> tuple[Line, OpenConnection] | None:
        opener = connection_maker(url, timeout_s=self._patience_s)
        try:
            line = await self._stack.enter_async_context(open_line(opener, patience_s=self._patience_s))
            with contextlib.suppress(ResponseError):  # forbidden it may be; it is an answer
                await line.ask("PING")
        except (RedisError, OSError) as error:
            finding = unreachable(error, where=name, setting=_SETTING)
            self._made.findings.append(finding if needed else warn(finding.found, finding.remedy or ""))
            return None
        return line, opener

    async def _add(self, name: str, url: str, *, is_replica: bool, slot: int | None = None) -> None:
        opened = await self._open(name, url, needed=not is_replica)
        if opened is not None:
            line, opener = opened
            server = Server(name, line, opener, is_replica=is_replica, patience_s=self._patience_s)
            server.slot = slot
            self._made.servers.append(server)

    async def _ask_sentinels(self) -> None:
        for node in self._address.nodes:
            name = f"the sentinel {_shown(node)}"
            opened = await self._open(name, self._address.url_of_sentinel(node), needed=False)
            if opened is not None:
                self._made.sentinels.append((name, opened[0]))
        if not self._made.sentinels:
            self._made.findings.append(fail("no sentinel can be reached", f"mend the sentinels in {_SETTING}"))
            return
        for name, line in self._made.sentinels:
            found = await self._of_service(name, line)
            if found is not None:
                master, replicas = found
                await self._add(_shown(master), self._address.url_of(master), is_replica=False)
                for replica in replicas:
                    await self._add(_shown(replica), self._address.url_of(replica), is_replica=True)
                return

    async def _of_service(self, name: str, line: Line) -> tuple[Node, list[Node]] | None:
        service = self._address.service
        try:
            master = _fields(await line.ask("SENTINEL", "MASTER", service))
            replicas = [_fields(row) for row in await line.ask("SENTINEL", "REPLICAS", service)]
        except (RedisError, OSError) as error:
            if "No such master" in str(error):
                remedy = f"write the master's name as the sentinels do: redis+sentinel://host:26379/NAME in {_SETTING}"
                self._made.findings.append(fail(f"{name} knows no master {service!r}", remedy))
            else:
                self._made.findings.append(unreachable(error, where=name, setting=_SETTING))
            return None
        return _node(master), [_node(row) for row in replicas]

    async def _ask_nodes(self) -> None:
        rows: list[Any] | None = None
        asked = self._address.nodes[0]
        for node in self._address.nodes:
            opened = await self._open(_shown(node), self._address.url_of(node), needed=False)
            if opened is None or rows is not None:
                continue
            try:
                rows, asked = await opened[0].ask("CLUSTER", "SLOTS"), node
            except (RedisError, OSError) as error:
                self._made.findings.append(_not_asked(error, _shown(node)))
        if rows is None:
            if worst(self._made.findings) is not Verdict.FAIL:
                self._made.findings.append(fail("no node tells where the slots are", f"mend the nodes in {_SETTING}"))
            return
        masters = {_of_row(row[2], asked): int(row[0]) for row in rows}
        replicas = {_of_row(each, asked) for row in rows for each in row[3:]} - set(masters)
        for master, slot in masters.items():
            await self._add(_shown(master), self._address.url_of(master), is_replica=False, slot=slot)
        for replica in sorted(replicas):
            await self._add(_shown(replica), self._address.url_of(replica), is_replica=True)


def _not_asked(error: Exception, where: str) -> Finding:
    if "cluster support disabled" in str(error):
        return fail(f"{where} is no node of a cluster", f"write {_SETTING}=redis://..., or enable the cluster")
    if "NOPERM" in str(error) or "no permissions" in str(error):
        return fail(f"{where} lets this user not ask for the slots", "give the user +cluster|slots +cluster|info")
    return unreachable(error, where=where, setting=_SETTING)


def _shown(node: Node) -> str:
    return f"{node[0]}:{node[1]}"


def _fields(flat: list[bytes]) -> dict[str, str]:
    decode: Callable[[bytes], str] = bytes.decode
    return dict(zip(map(decode, flat[::2]), map(decode, flat[1::2]), strict=True))


def _node(fields: dict[str, str]) -> Node:
    return fields["ip"], int(fields["port"])


def _of_row(row: list[Any], asked: Node) -> Node:
    host = row[0].decode() if row[0] else ""
    return (host or asked[0], int(row[1]))
