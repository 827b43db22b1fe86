"""Scenarios: what is broken, for how long, and what the log may say about it.

Owns the list that the tables show, and where each can be played. Each is a coroutine over a running plant under load;
it leaves nothing broken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from tests.chaos.network import Fault, Network
from tests.chaos.plant import Plant
from tests.chaos.proxy import Proxy, Way
from tests.stack.topologies import CHOSEN

LEASE_S: Final = 2.0
# A fault shorter than the lease must cost nothing but time: 0.8 of the lease is when a worker gives up.
SHORT_S: Final = 0.5 * LEASE_S
LONG_S: Final = 2.0 * LEASE_S

Break = Callable[[Plant], Awaitable[None]]


class Losses(StrEnum):
    """What Redis itself may lose."""

    NONE = "none"
    # A master died with what its replica did not have yet: milliseconds, as a rule nothing.
    A_MOMENT = "a moment"
    # A server came back empty: something is lost for sure.
    DATA = "data"


class Scenario(msgspec.Struct, frozen=True):
    """One line of the table."""

    name: str
    what: str
    break_it: Break
    models: tuple[str, ...] = ("sim",)
    losses: Losses = Losses.NONE
    workers: int = 3
    # A failover takes longer than a fault of one server: then the lease must be longer, too.
    lease_s: float = LEASE_S
    # What it cannot be played on, and why not.
    elsewhere: Mapping[str, str] = {}

    @property
    def why_not_here(self) -> str | None:
        """Tell why it is not played on the servers of this run; None: it is."""
        return self.elsewhere.get(CHOSEN)


async def _nothing(_: Plant) -> None:
    """Break nothing."""


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _kill_worker(plant: Plant) -> None:
    await plant.workers[0].kill()


async def _kill_workers_in_turn(plant: Plant) -> None:
    for worker in plant.workers[:-1]:
        await worker.kill()
        await asyncio.sleep(LEASE_S / 2)


async def _kill_all_workers(plant: Plant) -> None:
    await asyncio.gather(*(worker.kill() for worker in plant.workers))
    await asyncio.sleep(1.5 * LEASE_S)
    await plant.start_worker()


async def _kill_gateway(plant: Plant) -> None:
    port = plant.gateways[0].port
    await plant.gateways[0].kill()
    await asyncio.sleep(LEASE_S)
    await plant.start_gateway(port=port)


def _freeze_worker(seconds: float) -> Break:
    async def freeze(plant: Plant) -> None:
        async with plant.frozen(plant.workers[0]):
            await asyncio.sleep(seconds)

    return freeze


def _freeze_gateway(seconds: float) -> Break:
    async def freeze(plant: Plant) -> None:
        gateway = plant.gateways[0]
        gateway.freeze()
        await asyncio.sleep(seconds)
        gateway.thaw()

    return freeze


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _freeze_server(seconds: float) -> Break:
    return lambda plant: plant.freeze_server(seconds)


async def _kill_connections(plant: Plant) -> None:
    for _ in range(12):
        for kind in ("pubsub", "normal"):
            await plant.database.everywhere("CLIENT", "KILL", "TYPE", kind)
        await asyncio.sleep(0.25)


async def _restart_with_data(plant: Plant) -> None:
    await plant.restart_server(keep_data=True)


async def _restart_without_data(plant: Plant) -> None:
    await plant.restart_server(keep_data=False)


async def _fail_over(plant: Plant) -> None:
    await asyncio.to_thread(plant.servers.failover, coordinated=True)


async def _kill_master(plant: Plant) -> None:
    await plant.kill_master()


async def _freeze_master(plant: Plant) -> None:
    await plant.freeze_master()


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _worker_network(fault: Fault, seconds: float) -> Break:
    return lambda plant: _fault(plant.worker_network, fault, seconds)


def _gateway_network(fault: Fault, seconds: float) -> Break:
    return lambda plant: _fault(plant.gateway_network, fault, seconds)


async def _fault(network: Network, fault: Fault, seconds: float, *, before: Collection[int] | None = None) -> None:
    network.befall(fault, before=before)
    try:
        await asyncio.sleep(seconds)
        network.look()  # while the process has every reason to dial elsewhere
    finally:
        network.heal()


async def _hold_from_lease(plant: Plant) -> None:
    await _fault(plant.worker_network, _hold, LONG_S, before={await plant.port_of_lease()})


async def _hold_from_all_but_lease(plant: Plant) -> None:
    await _fault(plant.worker_network, _hold, LONG_S, before=set(plant.servers.ports) - {await plant.port_of_lease()})


async def _hold_gateway_from_one(plant: Plant) -> None:
    (master, *_) = await asyncio.to_thread(plant.servers.masters)
    await _fault(plant.gateway_network, _hold, LONG_S, before={master.port or 0})


async def _hold_from_sentinels(plant: Plant) -> None:
    sentinels = set(plant.servers.ports) - {node.port for node in plant.servers.nodes}
    async with asyncio.TaskGroup() as group:
        for network in (plant.worker_network, plant.gateway_network):
            group.create_task(_fault(network, _hold, LONG_S, before=sentinels))


def _hold(proxy: Proxy) -> None:
    proxy.hold(Way.BOTH)


async def _cut_again_and_again(plant: Plant) -> None:
    for _ in range(12):
        plant.worker_network.befall(Proxy.cut)
        plant.gateway_network.befall(Proxy.cut)
        await asyncio.sleep(0.25)
        plant.look()


_SILENT: Final = ("sim-silent", "sim-mute", "sim-stall")
_SHORT, _LONG = f"{SHORT_S:g} s", f"{LONG_S:g} s"

_NO_REPLICA: Final = {"standalone": "one server has no replica"}
_NO_SENTINEL: Final = dict.fromkeys(("standalone", "cluster"), "there are no sentinels")
_ONE_MASTER: Final = dict.fromkeys(("standalone", "sentinel"), "there is one master: see the others of its kind")
_IS_A_FAILOVER: Final = dict.fromkeys(("sentinel", "cluster"), "there it is a failover: see freeze-master")
# Longer than an election on a loaded machine.
_FAILOVER_LEASE_S: Final = 20.0

ALL: Final = (
    Scenario("nothing-broken", "Nothing.", _nothing),
    Scenario("kill-worker", "`kill -9` of a worker.", _kill_worker),
    Scenario("kill-workers", "`kill -9` of two of three workers, one after the other.", _kill_workers_in_turn),
    Scenario("kill-all-workers", "`kill -9` of every worker; a new one 3 s later.", _kill_all_workers),
    Scenario("kill-gateway", "`kill -9` of a gateway; it is back 2 s later.", _kill_gateway),
    Scenario("freeze-worker-short", f"SIGSTOP of a worker for {_SHORT}.", _freeze_worker(SHORT_S)),
    Scenario("freeze-worker-long", f"SIGSTOP of a worker for {_LONG}.", _freeze_worker(LONG_S)),
    Scenario("freeze-gateway", f"SIGSTOP of a gateway for {_LONG}.", _freeze_gateway(LONG_S)),
    Scenario("freeze-server-short", f"SIGSTOP of the server for {_SHORT}.", _freeze_server(SHORT_S)),
    Scenario(
        "freeze-server-long", f"SIGSTOP of the server for {_LONG}.", _freeze_server(LONG_S), elsewhere=_IS_A_FAILOVER
    ),
    Scenario("client-kill", "CLIENT KILL of every connection, four times a second, 3 s long.", _kill_connections),
    Scenario("restart-with-data", "`kill -9` of the server; back at once with its data.", _restart_with_data),
    Scenario(
        "restart-without-data",
        "`kill -9` of the server; back at once, empty.",
        _restart_without_data,
        losses=Losses.DATA),
    Scenario("net-cut", "A worker's and a gateway's connections are cut, 12 times in 3 s.", _cut_again_and_again),
    Scenario(
        "net-worker-delay",
        "0.1 s more each way between a worker and Redis, 4 s long.",
        _worker_network(lambda proxy: proxy.delay(0.1), LONG_S)),
    Scenario(
        "net-worker-hold-short",
        f"A worker and Redis are partitioned for {_SHORT}; late packets arrive.",
        _worker_network(_hold, SHORT_S)),
    Scenario(
        "net-worker-hold-long",
        f"The same for {_LONG}.",
        _worker_network(_hold, LONG_S)),
    Scenario(
        "net-worker-deaf",
        f"What Redis says does not reach a worker for {_LONG}; what it says arrives.",
        _worker_network(lambda proxy: proxy.swallow(Way.DOWN), LONG_S)),
    Scenario(
        "net-worker-deaf-short",
        f"The same for {_SHORT}.",
        _worker_network(lambda proxy: proxy.swallow(Way.DOWN), SHORT_S)),
    Scenario(
        "net-worker-mute",
        f"What a worker says does not reach Redis for {_LONG}.",
        _worker_network(lambda proxy: proxy.swallow(Way.UP), LONG_S)),
    Scenario(
        "net-worker-refuse",
        f"Redis refuses a worker for {_LONG}.",
        _worker_network(Proxy.refuse, LONG_S)),
    Scenario(
        "net-gateway-hold",
        f"A gateway and Redis are partitioned for {_LONG}; late packets arrive.",
        _gateway_network(_hold, LONG_S)),
    Scenario(
        "net-gateway-deaf",
        f"What Redis says does not reach a gateway for {_LONG}.",
        _gateway_network(lambda proxy: proxy.swallow(Way.DOWN), LONG_S)),
    Scenario(
        "net-gateway-refuse",
        f"Redis refuses a gateway for {_SHORT}.",
        _gateway_network(Proxy.refuse, SHORT_S)),
    Scenario(
        "net-no-sentinels",
        f"A worker and a gateway are partitioned from all sentinels for {_LONG}, and from no data server.",
        _hold_from_sentinels, elsewhere=_NO_SENTINEL),
    Scenario(
        "net-worker-hold-lease",
        f"A worker is partitioned for {_LONG} from the one master that holds its lease.",
        _hold_from_lease, elsewhere=_ONE_MASTER),
    Scenario(
        "net-worker-hold-others",
        f"A worker is partitioned for {_LONG} from every node but that one: its lease stands.",
        _hold_from_all_but_lease, elsewhere=_ONE_MASTER),
    Scenario(
        "net-gateway-hold-one",
        f"A gateway is partitioned for {_LONG} from one of the masters.",
        _hold_gateway_from_one, elsewhere=_ONE_MASTER),
    Scenario("silent-kill-worker", "Silent upstreams, and `kill -9` of a worker.", _kill_worker, models=_SILENT),
    Scenario(
        "silent-worker-hold",
        f"Silent upstreams, and a worker is partitioned for {_LONG}.",
        _worker_network(_hold, LONG_S),
        models=_SILENT),
    Scenario(
        "failover", "An ordered failover of every master.", _fail_over, lease_s=_FAILOVER_LEASE_S, elsewhere=_NO_REPLICA
    ),
    Scenario(
        "kill-master", "`kill -9` of a master; its replica takes over.", _kill_master,
        losses=Losses.A_MOMENT, lease_s=_FAILOVER_LEASE_S, elsewhere=_NO_REPLICA),
    Scenario(
        "freeze-master", "SIGSTOP of a master until its replica has taken over; then it is thawed.", _freeze_master,
        losses=Losses.A_MOMENT, lease_s=_FAILOVER_LEASE_S, elsewhere=_NO_REPLICA),
)  # fmt: skip
SCENARIOS: Final = tuple(scenario for scenario in ALL if scenario.why_not_here is None)
