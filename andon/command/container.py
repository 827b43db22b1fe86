"""Container: what the container that we are in was started for, read off the command line of its first process.

Owns that reading. One image runs gateways, workers and the sim, so its one health check must find out which it is in.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from andon.command.failure import CommandFailed

_FIRST = Path("/proc/1/cmdline")
# Where each server tells of itself, and its port where none was said.
_SERVERS = {"gateway": (21100, "/healthz"), "sim": (21110, "/healthz")}


def what_runs_here() -> str:
    """Return `worker`, or the URL to ask. Raises CommandFailed outside of a container of ours."""
    try:
        argv = _FIRST.read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    except OSError as error:
        raise CommandFailed(f"{_FIRST} cannot be read ({error.strerror}): say `worker`, or a URL") from error
    return target_of(argv)


def target_of(argv: Sequence[str]) -> str:
    """Return what to ask of a process with this command line, which may be an init with ours behind it."""
    words = iter(argv)
    for word in words:
        if word == "worker":
            return word
        if word in _SERVERS:
            port, path = _SERVERS[word]
            host, port = _listening(list(words), port)
            return f"http://{host}:{port}{path}"
    raise CommandFailed(f"process 1 is no gateway, worker or sim ({' '.join(argv)}): say `worker`, or a URL")


def _listening(options: list[str], port: int) -> tuple[str, int]:
    said = dict(itertools.pairwise(options))
    said |= dict(option.split("=", 1) for option in options if option.startswith("--") and "=" in option)
    host = said.get("--host", "127.0.0.1")
    # Every address includes our own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not listened on
    return (f"[{host}]" if ":" in host else host), int(said.get("--port", port))
