import re

import pytest
from redis.crc import key_slot

from andon import audit, keys
from andon.audit import Asker, Door, Entry, Role, Step, new_audit_id
from andon.broadcasts import BroadcastId, Broadcasts, Scope
from andon.database import Database
from andon.errors import OverloadedError
from andon.gateways import AboutGateway, Gateways
from andon.ids import ANONYMOUS, SessionName, new_gateway_id, new_response_id, new_worker_id, session_tag
from andon.lease import About, Leases
from andon.places import Places
from andon.progress import Progress
from andon.queue import Queue
from andon.response import Status
from andon.settings import Settings
from andon.settlements import Shipper
from andon.store import Store
from gateway.seats import Seats
from tests.contract.jobs import (
    OTHER_WORKER,
    WORKER,
    claim,
    deltas,
    lasting_keys,
    running,
    settle,
    submission,
    submitted,
)

ABOUT = About(host="h", pid=1, live=0, concurrency=1, draining=False)
_ROW = re.compile(r"^\| `(?P<key>[^`]+)` +\| (?P<kind>[^|]+?) +\| (?P<slot>\w+) +\|", re.MULTILINE)
_WORDS = {
    "{T}": r"\{[a-z2-7]{24}\}",
    "{P}": r"\{[pt]_[a-z2-7]{24}\}",
    "{W}": r"\{w_\w+\}",
    "{G}": r"\{g_\w+\}",
    "{broadcasts}": r"\{broadcasts\}",
    ":B": r":bc_\w+",
    ":R": r":resp_[a-z2-7]{40}",
    ":W": r":w_\w+",
    ":*": r":\w+",
}


def documented() -> dict[str, tuple[str, str]]:
    """Read the table of the module's docstring: key pattern to (type, slot)."""
    assert keys.__doc__ is not None
    rows = {}
    for row in _ROW.finditer(keys.__doc__):
        pattern = row["key"]
        for word, expression in _WORDS.items():
            pattern = pattern.replace(word, expression)
        rows[pattern] = (row["kind"].replace("sorted set", "zset"), row["slot"])
    return rows


async def be_counted(database: Database) -> None:
    """Take places and seats, lose some and keep some."""
    limits = Settings(
        max_live_per_principal=2, max_live_per_tenant=1, creates_per_minute=2, max_sockets_per_principal=2
    )
    response_id = submission().response_id
    places = Places(database, limits, longest_life_s=60)
    await places.take(ANONYMOUS, response_id)
    with pytest.raises(OverloadedError):
        await places.take(ANONYMOUS, submission().response_id)
    await places.give_back(ANONYMOUS, response_id)
    await places.take(ANONYMOUS, response_id)
    seats = Seats(database, limits)
    seat = await seats.take(ANONYMOUS)
    await seats.take(ANONYMOUS)
    seat.leave()
    await seats.vouch_once()


async def live_a_full_life(store: Store, database: Database) -> None:
    """Do with jobs, lanes, workers and settlements all that can be done."""
    leases = Leases(database, lease_s=30)
    queue = Queue(database, database, WORKER)
    await queue.adopt(idle_s=60)
    await leases.renew(WORKER, ABOUT)
    job = await running(store, lane="k/a")
    await submitted(store, lane="k/a")
    await store.append(job, 2, deltas(job, 2, "a"), renew=True)
    await settle(store, job, 3)
    again = await running(store, session="other")
    await store.requeue(again)
    again = await claim(store, again.response_id, OTHER_WORKER)
    await store.look(again)
    await store.stop(again.response_id, None, by="client", reason=None)
    await store.ack(again, acked_at=1.0, upstream_closed_at=2.0)
    view = await store.job(again.response_id)
    assert view is not None
    await settle(store, again, 2, status=Status.CANCELLED, stop=view.stop)
    await store.expire(await submitted(store, session="third"))
    await be_counted(database)
    await Shipper(database).ship(job.tag)
    await queue.drop(await queue.read(1, block_s=0.1))
    await leases.bury(OTHER_WORKER, by_itself=True)
    await administer(database)


async def administer(database: Database) -> None:
    """Do what consoles and operators have done."""
    await Progress(database).write(WORKER, {}, lease_s=30)
    await Gateways(database).announce(AboutGateway(new_gateway_id(), "h", 1, 0, draining=False, since=0, at=0))
    asker = Asker(ANONYMOUS, Role.OPERATOR, Door.ADMIN)
    for command in audit.writing(Entry(new_audit_id(), Step.ASKED, 0, asker, "g", ""), 1000):
        await database.call(*command)
    broadcasts, ours = Broadcasts(database, lease_s=30), BroadcastId("bc_0")
    await broadcasts.make(ours, Scope(all=True), asker, reason=None, within=None, digest="d")
    await broadcasts.tend(ours, "g_1", targets=[submission().response_id])


async def test_every_key_of_a_full_life_is_in_the_table_and_expires(database: Database, real_store: Store) -> None:
    """The table is complete: no key, of no type, that it does not name; none stays for ever."""
    await live_a_full_life(real_store, database)
    table = documented()
    seen = set()
    for name in await database.call("KEYS", "*"):
        rows = [row for row in table if re.fullmatch(row, name.decode())]
        assert len(rows) == 1, f"{name!r} is in {len(rows)} rows"
        assert (await database.call("TYPE", name)).decode() == table[rows[0]][0]
        seen.add(rows[0])
    assert await lasting_keys(database) == []
    assert len(seen) >= 17


def test_the_keys_of_a_session_share_one_slot() -> None:
    """So that each script touches one slot; a worker's keys share another, whatever its session's."""
    tag = session_tag(ANONYMOUS, SessionName("s"))
    rid = new_response_id(tag)
    names = [keys.job(rid), keys.log(rid), keys.session(tag), keys.live(tag), keys.lanes(tag), keys.outbox(tag)]
    names.append(keys.events(tag))
    assert len({key_slot(name.encode()) for name in names}) == 1
    worker = new_worker_id()
    assert key_slot(keys.lease(worker).encode()) == key_slot(keys.worker_jobs(worker).encode())


@pytest.mark.parametrize("count", [50])
def test_sessions_spread_over_the_slots(count: int) -> None:
    """The session is the unit of sharding."""
    tags = [session_tag(ANONYMOUS, SessionName(str(number))) for number in range(count)]
    assert len({key_slot(keys.session(tag).encode()) for tag in tags}) > count / 2
