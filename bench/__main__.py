"""`make bench`: measure, print the tables, write docs/performance.json, docs/performance.md and its plots.

Shows the whole nest: Redis and the model server, then one measure after the other on contenders that start at their
first use. It ends what it started, and nothing else.
"""

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.contenders import ANDON, ENDS, FLOOR, LEAN_ENDS
from bench.failures import FAILURES
from bench.floor.build import BuildError
from bench.machine import machine
from bench.measures import cost, fan_out, first_token, growth, sockets, stop, storm
from bench.peers import PEERS, environment
from bench.profile import ProfileError, profile
from bench.report import page
from bench.results import Results, read, write
from bench.size import FULL, QUICK, Size
from bench.stage import Stage, stage

_DOCS: Final = Path(__file__).parents[1] / "docs"
_LOGS: Final = Path(__file__).parents[1] / ".cache" / "bench" / "logs"
_KEPT: Final = _DOCS / "performance.json"
# In this order: what grows Redis for good comes last.
_MEASURES: Final[Mapping[str, Callable[[Stage, Size], Awaitable[Any]]]] = {
    "stop": stop.measure,
    "first_token": first_token.measure,
    "cost": cost.measure,
    "sockets": sockets.measure,
    "fan_out": fan_out.measure,
    "storm": storm.measure,
    "growth": growth.measure,
}


def main() -> None:
    """Do as the arguments say. Exits 1, with what went wrong, if it can't."""
    arguments = _parser().parse_args()
    if arguments.page:
        page.write(read(_KEPT), _DOCS)
        return
    size = QUICK if arguments.quick else FULL
    try:
        if arguments.profile:
            print(uvloop.run(profile(size)))
            return
        _LOGS.mkdir(parents=True, exist_ok=True)
        if size.peers is None:
            environment.install()
        results = uvloop.run(measured(size, arguments.only or list(_MEASURES), _LOGS))
    except (BuildError, environment.InstallError, ProfileError, *FAILURES) as error:
        sys.exit(f"bench: {type(error).__name__}: {error}")
    print(page.text(results))
    if size is FULL and not (arguments.only or arguments.dry):
        write(results, _KEPT)
        page.write(results, _DOCS)
        print(f"\nWritten to {_KEPT}, and to performance.md beside it.")
    if results.failures:
        sys.exit(f"bench: could not measure {', '.join(results.failures)}")


async def measured(size: Size, names: Sequence[str], logs: Path) -> Results:
    """Make these measures, and return what was found. `logs`: the directory where what the processes write is kept."""
    begun = time.monotonic()
    contenders = (ANDON, FLOOR, ENDS, LEAN_ENDS, *PEERS.values())
    results = Results(
        machine=machine(),
        titles={each.name: each.title for each in contenders},
        versions={each.name: each.version for each in contenders},
    )
    async with stage(logs) as running:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            at = time.monotonic()
            try:
                setattr(results, name, await _MEASURES[name](running, size))
            except FAILURES as error:
                results.failures[name] = f"{type(error).__name__}: {error}"
                print(f"  failed: {results.failures[name]}\n  (logs in {logs})", file=sys.stderr, flush=True)
                await running.clear()
            print(f"  {time.monotonic() - at:.0f} s", file=sys.stderr, flush=True)
    results.seconds = time.monotonic() - begun
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(_MEASURES), metavar="MEASURE", help=", ".join(_MEASURES))
    parser.add_argument("--quick", action="store_true", help="a little of everything; measures nothing worth keeping")
    parser.add_argument("--dry", action="store_true", help="leave docs/ as it is, as --only and --quick do")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page from what was kept")
    parser.add_argument("--profile", action="store_true", help="tell where Andon's CPU goes under the paced load")
    return parser


if __name__ == "__main__":
    main()
