"""Programs: how a peer's processes are started, and the lines by which they tell that they are ready.

Owns the command lines, and what the environment of such a process holds: `REDIS_URL`, `NAMESPACE`, and the two names
by which the SDK finds the model server. Does not own the processes.

Guarantees: processes of one `Cast` share their names in Redis, and no others do, since contenders share one Redis, and
one contender may run several times.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

from bench.contender import Place, Program, Role
from bench.peers import environment

# What a worker prints once it takes jobs and hears stops.
READY_LINE: Final = "worker ready"

_LISTENS: Final = re.compile(rb"Uvicorn running on http://127\.0\.0\.1:(\d+)")


class Cast:
    """The processes of one peer that belong together."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._env = {
            "PYTHONPATH": str(environment.ROOT),
            "PYTHONUNBUFFERED": "1",  # or the line that says ready stays in a buffer
            "REDIS_URL": place.redis_url,
            "NAMESPACE": f"peer-{name}-{secrets.token_hex(4)}",
            "OPENAI_BASE_URL": place.upstream,
            "OPENAI_API_KEY": "bench",
        }

    def web(self, app: str, role: Role = Role.BOTH) -> Iterable[Program]:
        """Return the web processes: `app` (`module:name`) under uvicorn with its own defaults, one a replica."""
        address = ("--host", "127.0.0.1", "--port", "0")
        # As it is run behind a proxy that logs. The second: its own default is to wait for open sockets for ever.
        options = ("--no-access-log", "--timeout-graceful-shutdown", "1")
        argv = (str(environment.PYTHON), "-m", "uvicorn", app, *address, *options)
        return [Program(role=role, argv=argv, env=self._env, ready=_port)] * self._place.gateways

    def workers(self, module: str) -> Iterable[Program]:
        """Return the worker processes: `python -m module`."""
        argv = (str(environment.PYTHON), "-m", module)
        return [Program(role=Role.WORKER, argv=argv, env=self._env, ready=_zero)] * self._place.workers


def _port(line: bytes) -> int | None:
    found = _LISTENS.search(line)
    return int(found[1]) if found else None


def _zero(line: bytes) -> int | None:
    return 0 if READY_LINE.encode() in line else None
