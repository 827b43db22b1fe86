"""Tables: what docs/scaling.md shows, as Markdown, and their places in the page."""

import random
import re
from pathlib import Path
from typing import Final

from bench.scaling.deployment import Deployment, deployment
from bench.scaling.figures import ROOT, Figures
from bench.scaling.limits import limits
from bench.scaling.load import GIB, Assumptions, Load
from bench.scaling.queueing import Station, delays, percentile, simulate

PAGE: Final = ROOT / "docs" / "scaling.md"
SIZES: Final = (10_000, 1_000_000, 100_000_000)
_SHOWN_LIMITS: Final = 14
_UTILISATIONS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_TIB: Final = 1024**4
_EVENTS: Final = 200_000


def tables(figures: Figures, assumed: Assumptions | None = None) -> dict[str, str]:
    """Make every table, by the name of its place."""
    loads = [Load(sockets, assumed or Assumptions(), figures) for sockets in SIZES]
    made = [deployment(load) for load in loads]
    return {
        "costs": _costs(figures),
        "assumptions": _assumptions(loads[0].assumed),
        "sizes": _sizes(made),
        "queues": _queues(made),
        "utilisation": _utilisation(figures),
        "limits": _limits(made),
    }


def placed(page: str, made: dict[str, str]) -> str:
    """Put the tables into the page. Raises ValueError where a place is missing."""
    for name, table in made.items():
        place = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        if len(place.findall(page)) != 1:
            raise ValueError(f"the page has not one place for the table {name}")
        # A table has no backslash, which would mean something here.
        page = place.sub(rf"\g<1>{table}\n\g<2>", page)
    return page


def write(made: dict[str, str], page: Path = PAGE) -> None:
    """Rewrite the tables of the page."""
    page.write_text(placed(page.read_text(encoding="utf-8"), made), encoding="utf-8")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _heads() -> list[str]:
    return ["", *(f"{size:,} sockets" for size in SIZES)]


def _costs(figures: Figures) -> str:
    rows = [
        [
            "a token",
            f"{figures.token_worker_us:.1f} µs",
            f"{figures.token_redis_us:.1f} µs",
            f"{figures.token_gateway_us:.1f} µs a socket",
        ],
        [
            "a response, beside its tokens",
            f"{figures.response_worker_us:,.0f} µs",
            f"{figures.response_redis_us:,.0f} µs",
            f"{figures.response_gateway_us:,.0f} µs",
        ],
        [
            "a token, in and to Redis",
            f"{figures.token_commands:.2f} commands",
            f"{figures.log_token_bytes:.0f} bytes kept, {figures.token_wire_bytes:,.0f} on the wire",
            "",
        ],
        [
            "a response, kept in Redis",
            "",
            (
                f"job {figures.job_bytes:,.0f}, turn {figures.turn_bytes:,.0f} + {figures.turn_token_bytes:.1f} a "
                f"token, settlement {figures.settlement_bytes:,.0f} bytes"
            ),
            "",
        ],
        [
            "a silent socket",
            "",
            "",
            f"{figures.socket_bytes / 1024:.1f} KiB; {figures.sockets_accepted:,.0f} accepted/s",
        ],
    ]
    return (
        f"Tokens, sockets: {figures.source}. The rest: {figures.measured}, `python -m bench.scaling.measure`.\n\n"
        + _table(["", "worker", "Redis", "gateway"], rows)
    )


def _assumptions(assumed: Assumptions) -> str:
    rows = [
        ["turns an hour, of each socket's session", f"{assumed.turns_an_hour:g}"],
        ["tokens of an answer, of a question", f"{assumed.tokens_a_turn:g}, {assumed.input_tokens:g}"],
        ["tokens a second", f"{assumed.tokens_a_second:g}"],
        ["sockets that follow a response", f"{assumed.fan_out:g}"],
        ["responses that are stopped", f"{assumed.stopped_share:.0%}"],
        ["a core may be busy", f"{assumed.busy_share:.0%}"],
        ["memory of a shard for data", f"{assumed.shard_bytes / GIB:g} GiB"],
        ["streams of a worker", f"{assumed.streams_a_worker:g}"],
        ["sockets of a gateway", f"{assumed.sockets_a_gateway:,.0f}"],
        ["round trip to Redis", f"{assumed.round_trip_s * 1000:g} ms"],
        ["a simple command, from many clients", f"{assumed.command_us:g} µs"],
        [
            "`ANDON_LOG_TTL_S`, `ANDON_SESSION_TTL_S`, `ANDON_LEASE_S`",
            f"{assumed.log_ttl_s:g}, {assumed.session_ttl_s:g}, {assumed.lease_s:g} (the defaults)",
        ],
    ]
    return _table(["assumed", ""], rows)


def _sizes(made: list[Deployment]) -> str:
    loads = [each.load for each in made]
    rows = [
        ["streams at any time", *(f"{load.streams:,.0f}" for load in loads)],
        ["responses a second", *(f"{load.responses:,.0f}" for load in loads)],
        ["tokens a second", *(f"{load.tokens:,.0f}" for load in loads)],
        ["stops a second", *(f"{load.stops:,.1f}" for load in loads)],
        ["cores: workers", *(f"{load.worker_cores:,.1f}" for load in loads)],
        ["cores: Redis", *(f"{load.redis_cores:,.1f}" for load in loads)],
        ["cores: gateways", *(f"{load.gateway_cores:,.1f}" for load in loads)],
        ["Redis: logs", *(_size(load.log_bytes) for load in loads)],
        ["Redis: turns and sessions", *(_size(load.turn_bytes) for load in loads)],
        [
            "to and from Redis",
            *(f"{load.tokens * load.figures.token_wire_bytes * 8 / 1e9:,.2f} Gbit/s" for load in loads),
        ],
        ["gateways: memory of sockets", *(_size(load.sockets * load.figures.socket_bytes) for load in loads)],
        ["**shards**", *(f"**{each.shards.number:,}** ({each.shards.why})" for each in made)],
        ["**workers**", *(f"**{each.workers.number:,}** ({each.workers.why})" for each in made)],
        ["**gateways**", *(f"**{each.gateways.number:,}** ({each.gateways.why})" for each in made)],
    ]
    return _table(_heads(), rows)


def _queues(made: list[Deployment]) -> str:
    found = [simulate(each) for each in made]
    rows = [
        ["load of the fullest shard, the mean being 1", *(f"{each.hottest:.2f}" for each in found)],
        ["busy: that shard", *(f"{each.shard.utilisation:.0%}" for each in found)],
        ["busy: a worker", *(f"{each.worker.utilisation:.0%}" for each in found)],
        ["busy: a gateway", *(f"{each.gateway.utilisation:.0%}" for each in found)],
        ["a token at that shard, p50", *(_ms(percentile(each.shard_delays, 0.5)) for each in found)],
        ["a token at that shard, p99", *(_ms(percentile(each.shard_delays, 0.99)) for each in found)],
        ["a token, model to socket, p50", *(_ms(percentile(each.delays, 0.5)) for each in found)],
        ["a token, model to socket, p99", *(_ms(percentile(each.delays, 0.99)) for each in found)],
    ]
    return _table(_heads(), rows)


def _utilisation(figures: Figures) -> str:
    """One shard, and how long a token is there, as it fills up."""
    rng = random.Random(1)
    one = Station(Assumptions().tokens_a_turn, figures.token_redis_us, 1.0, figures.response_redis_us)
    rows = []
    for busy in _UTILISATIONS:
        station = one.scaled(busy / one.utilisation)
        found = sorted(delays(station, rng, events=_EVENTS))
        rows.append(
            [f"{busy:.0%}", f"{station.tokens:,.0f}", *(_ms(percentile(found, share)) for share in (0.5, 0.99, 0.999))]
        )
    return _table(["busy", "tokens a second", "p50", "p99", "p99.9"], rows)


def _limits(made: list[Deployment]) -> str:
    by_size = [{limit.name: limit for limit in limits(each)} for each in made]
    order = [limit.name for limit in limits(made[1])][:_SHOWN_LIMITS]
    return _table(
        _heads(), [[name, *(_used(found[name].used, found[name].told) for found in by_size)] for name in order]
    )


def _used(used: float, told: str) -> str:
    shown = f"{used:,.0f} x" if used >= 10 else f"{used:.2g} x" if used >= 0.001 else "0 x"
    return f"**{shown}**: {told}" if used > 1 else f"{shown}: {told}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def _size(count: float) -> str:
    return f"{count / _TIB:,.1f} TiB" if count >= _TIB else f"{count / GIB:,.1f} GiB"
