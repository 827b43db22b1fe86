"""Figures: what one token, response and socket cost, as measured.

Owns where each comes from. Costs of tokens and sockets: docs/performance.json, which `make bench` writes; where that is
not there, or lacks one, the prototype's in figures.json. Costs of a response and of what stays in Redis: figures.json,
which `python -m bench.scaling.measure` writes.
"""

import json
import statistics
from pathlib import Path
from typing import Any, Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
BENCH: Final = ROOT / "docs" / "performance.json"
OWN: Final = Path(__file__).with_name("figures.json")
# What the bench calls the load that Andon can take, and Andon.
_PACED: Final = "paced"
_ANDON: Final = "andon"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """CPU in microseconds, sizes in bytes. `source`: where the costs of a token come from, and of what day."""

    source: str
    measured: str
    # Of a token, in each place; in a gateway for each socket that gets it.
    token_redis_us: float
    token_worker_us: float
    token_gateway_us: float
    # Commands sent to Redis, and bytes to and from it.
    token_commands: float
    token_wire_bytes: float
    # Of a socket that is silent, and how many a gateway accepts in a second.
    socket_bytes: float
    sockets_accepted: float
    # Of a response, whatever its length.
    response_redis_us: float
    response_worker_us: float
    response_gateway_us: float
    # What stays in Redis: of a token, for ANDON_LOG_TTL_S; of a response, as long; of a turn, for ANDON_SESSION_TTL_S,
    # beside its tokens; of a session, as long; of a settlement record and of an audit entry.
    log_token_bytes: float
    job_bytes: float
    turn_bytes: float
    turn_token_bytes: float
    session_bytes: float
    settlement_bytes: float
    audit_bytes: float


def read(bench: Path = BENCH, own: Path = OWN) -> Figures:
    """Read them; what the bench has measured counts more."""
    found: dict[str, Any] = json.loads(own.read_text(encoding="utf-8"))
    if bench.exists():
        found |= _of_bench(json.loads(bench.read_text(encoding="utf-8")))
    return msgspec.convert(found, Figures)


def _of_bench(results: dict[str, Any]) -> dict[str, Any]:
    """Take the medians of its rounds; a measure that was not run is left out."""
    taken: dict[str, Any] = {}
    cost = (((results.get("cost") or {}).get("rounds") or {}).get(_PACED) or {}).get(_ANDON)
    if cost:
        taken |= {
            "source": f"`make bench`, {results['machine']['made']}, {results['machine']['cpus']} cores of "
            f"{results['machine']['cpu']}",
            "token_redis_us": _median(cost, "redis_us"),
            "token_worker_us": statistics.median(each["cpu_us"]["worker"] for each in cost),
            "token_gateway_us": statistics.median(each["cpu_us"]["gateway"] for each in cost),
            "token_commands": _median(cost, "sent"),
            "token_wire_bytes": _median(cost, "bytes"),
        }
    sockets = ((results.get("sockets") or {}).get("rounds") or {}).get(_ANDON)
    if sockets:
        taken |= {
            "socket_bytes": _median(sockets, "bytes_a_socket"),
            "sockets_accepted": _median(sockets, "accepted_a_second"),
        }
    return taken


def _median(rounds: list[dict[str, Any]], name: str) -> float:
    return statistics.median(float(each[name]) for each in rounds)
