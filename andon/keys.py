"""Keys: every key and channel in Redis, in one table.

All keys of one session carry its tag as hash tag, so that each script touches one slot. The job hash alone
decides what is true of a job; queue, job sets and index are hints, written before the session's script and removed
after it, so that each is a superset of the truth.

| key or channel             | type       | slot    | time to live                | writer           | readers         |
|----------------------------|------------|---------|-----------------------------|------------------|-----------------|
| `andon:{T}:job:R`          | hash       | session | live; ended: `log_ttl_s`    | scripts          | scripts, sweep  |
| `andon:{T}:log:R`          | list       | session | as the job                  | scripts          | gateways, rescue|
| `andon:{T}:turn:R`         | string     | session | `session_ttl_s`, renewed    | scripts          | gateways, worker|
| `andon:{T}:seen:R`         | string     | session | half of the abandon time    | submit, gateways | worker, sweep   |
| `andon:{T}:unseen:R`       | string     | session | twice the abandon time      | sweep            | sweep           |
| `andon:{T}:creation:E`     | hash       | session | twice `live`                | submit           | submit          |
| `andon:{T}:session`        | hash       | session | `session_ttl_s`             | submit           | scripts         |
| `andon:{T}:live`           | set        | session | as the session              | submit, settle   | gateways, sweep |
| `andon:{T}:lanes`          | hash       | session | as the session              | submit, settle   | scripts         |
| `andon:{T}:outbox`         | stream     | session | settlements' 7 days         | settle, stop     | shipper         |
| `andon:{T}:events`         | sharded ch.| session | -                           | scripts          | gateways        |
| `andon:{W}:lease`          | hash       | worker  | lease, then tombstone's day | worker, rescue   | rescue          |
| `andon:{W}:jobs`           | set        | worker  | a day, renewed at the beat  | worker           | rescue          |
| `andon:{W}:progress`       | string     | worker  | two leases, renewed         | worker           | consoles        |
| `andon:stop:W`             | channel    | -       | -                           | stop             | that worker     |
| `andon:{P}:live`           | sorted set | counted | any job's longest life      | gateways, shipper| admit           |
| `andon:{P}:creates`        | string     | counted | until the bucket is full    | gateways         | admit           |
| `andon:{P}:sockets`        | sorted set | counted | three leases, renewed       | gateways         | seat            |
| `andon:workers`            | sorted set | own     | a day, renewed at the beat  | worker           | sweep           |
| `andon:queue`              | stream     | own     | queue's, renewed at submit  | gateway, rescue  | workers         |
| `andon:sessions`           | sorted set | own     | a day, renewed at submit    | gateway          | sweep           |
| `andon:turn:*`             | string     | own     | a part of the lease         | sweep            | sweep           |
| `andon:settlements`        | stream     | own     | 7 days, trimmed by age      | shipper          | billing         |
| `andon:gateways`           | sorted set | own     | a day, renewed              | gateway          | consoles        |
| `andon:{G}:gateway`        | string     | gateway | 10 s, renewed               | gateway          | consoles        |
| `andon:{broadcasts}`       | sorted set | own     | 7 days                      | broadcast        | gateways        |
| `andon:{broadcasts}:running` | set      | own     | 7 days                      | broadcast, tend  | gateways        |
| `andon:{broadcasts}:B`     | hash       | own     | 7 days                      | broadcast, tend  | gateways        |
| `andon:{broadcasts}:targets:B` | set    | own     | 7 days; gone when it ends   | tend             | gateways        |
| `andon:audit`              | stream     | own     | 7 days, trimmed by age      | gateways, workers| operators       |

In a cluster each `own` key is in a slot of its own, on whatever node that is: it is written, and awaited, before the
session's script (`Database.first`); `andon:workers` before a worker's first renewal, and beside each later one, so that
no lease depends on that one node. `andon:stop:W` is published to all nodes; the session's channel at its slot's node.

T is a session tag, R a response id, W a worker id, G a gateway id, B a broadcast id, E the digest of a client's event
id, P the tag of a principal or of a tenant: what is counted against a limit, and only where that limit is set. `live`
time to live: `ANDON_QUEUE_TTL_S` + `ANDON_MAX_RUN_S` + `ANDON_LOG_TTL_S` at submit and at claim, renewed by appends and
beats while the job lives.
"""

import hashlib

from andon.ids import CountTag, GatewayId, ResponseId, SessionTag, WorkerId, tag_of

QUEUE = "andon:queue"
QUEUE_GROUP = "workers"
WORKERS = "andon:workers"
SESSIONS = "andon:sessions"
SETTLEMENTS = "andon:settlements"
AUDIT = "andon:audit"
GATEWAYS = "andon:gateways"
# Few and small, and the index must never miss one: they share a slot.
BROADCASTS = "andon:{broadcasts}"
RUNNING_BROADCASTS = "andon:{broadcasts}:running"
TURN = "andon:turn"


def job(response_id: ResponseId) -> str:
    """Name the job hash, which alone decides what is true of the job."""
    return f"andon:{{{tag_of(response_id)}}}:job:{response_id}"


def log(response_id: ResponseId) -> str:
    """Name the event log: a list whose index is the sequence number."""
    return f"andon:{{{tag_of(response_id)}}}:log:{response_id}"


def turn(response_id: ResponseId) -> str:
    """Name the stored turn of an ended response."""
    return f"andon:{{{tag_of(response_id)}}}:turn:{response_id}"


def of_ending(response_id: ResponseId) -> list[str]:
    """Name what an ending touches, in the order in which its scripts take it: job, log, live, lanes, outbox, turn."""
    session_ = f"andon:{{{tag_of(response_id)}}}:"
    return [
        f"{session_}job:{response_id}",
        f"{session_}log:{response_id}",
        session_ + "live",
        session_ + "lanes",
        session_ + "outbox",
        f"{session_}turn:{response_id}",
    ]


def seen(response_id: ResponseId) -> str:
    """Name the presence of a response: somebody is attached to it."""
    return f"andon:{{{tag_of(response_id)}}}:seen:{response_id}"


def unseen(response_id: ResponseId) -> str:
    """Name the time since which sweeps have missed the presence of an unclaimed job."""
    return f"andon:{{{tag_of(response_id)}}}:unseen:{response_id}"


def creation(tag: SessionTag, event_id: str) -> str:
    """Name what a client's event id created."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=16).hexdigest()
    return f"andon:{{{tag}}}:creation:{digest}"


def session(tag: SessionTag) -> str:
    """Name the session hash: who owns it and what it is called."""
    return f"andon:{{{tag}}}:session"


def live(tag: SessionTag) -> str:
    """Name the set of the session's responses that have not ended."""
    return f"andon:{{{tag}}}:live"


def lanes(tag: SessionTag) -> str:
    """Name the hash of busy lanes: field `socket/stream_id`, value the holder and then those who wait."""
    return f"andon:{{{tag}}}:lanes"


def outbox(tag: SessionTag) -> str:
    """Name the stream of settlement records that are still to be shipped."""
    return f"andon:{{{tag}}}:outbox"


def events(tag: SessionTag) -> str:
    """Name the sharded channel on which the session's events are published."""
    return f"andon:{{{tag}}}:events"


def stop_channel(worker_id: WorkerId) -> str:
    """Name the channel on which one worker hears stops."""
    return f"andon:stop:{worker_id}"


def lease(worker_id: WorkerId) -> str:
    """Name the worker's lease."""
    return f"andon:{{{worker_id}}}:lease"


def worker_jobs(worker_id: WorkerId) -> str:
    """Name the set of jobs that the worker may own: a superset."""
    return f"andon:{{{worker_id}}}:jobs"


def counted_live(tag: CountTag) -> str:
    """Name the set of responses that take up room: response id, with when it came in."""
    return f"andon:{{{tag}}}:live"


def counted_creates(tag: CountTag) -> str:
    """Name the time at which the bucket of creates is full again."""
    return f"andon:{{{tag}}}:creates"


def counted_sockets(tag: CountTag) -> str:
    """Name the set of open sockets: socket id, with until when its gateway vouches for it."""
    return f"andon:{{{tag}}}:sockets"


def progress(worker_id: WorkerId) -> str:
    """Name the hint of what the worker's runs have produced so far."""
    return f"andon:{{{worker_id}}}:progress"


def gateway(gateway_id: GatewayId) -> str:
    """Name what a gateway says of itself."""
    return f"andon:{{{gateway_id}}}:gateway"


def broadcast(broadcast_id: str) -> str:
    """Name the record of a broadcast stop."""
    return f"{BROADCASTS}:{broadcast_id}"


def broadcast_targets(broadcast_id: str) -> str:
    """Name the set of responses that a running broadcast is about to stop, or has stopped."""
    return f"{BROADCASTS}:targets:{broadcast_id}"
