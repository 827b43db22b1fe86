"""Faults: what no run of a stack may leave behind, whatever its test was about.

Owns the checks; does not own the processes. Each returns what is wrong, in words, for one assertion at the end.
"""

import time
from collections.abc import Collection, Iterable, Iterator

import msgspec

from .disclosure import disclosed
from .process import Process
from .servers import Servers, client_of

_BAD_LEVELS = frozenset({"error", "critical"})
_SHOWN_CHARS = 2000
_GRACE_S = 2.0
_POLL_S = 0.02


def bad_lines(process: Process, expected: Collection[str], *, skip_bytes: int = 0) -> Iterator[str]:
    """Find log lines of level error or worse, tracebacks, and lines that are not structured.

    `expected` are words whose lines the test has declared; what comes before `skip_bytes` was judged already.
    """
    with process.log_path.open("rb") as log:
        log.seek(skip_bytes)
        for line in log.read().splitlines():
            text = line.decode(errors="replace")
            if _is_bad(line) and not any(word in text for word in expected):
                yield f"{process.name} logged: {text[:_SHOWN_CHARS]}"


def _is_bad(line: bytes) -> bool:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return True
    return not isinstance(record, dict) or record.get("level") in _BAD_LEVELS or b"Traceback (most recent" in line


def unexpected_ends(processes: Iterable[Process]) -> Iterator[str]:
    """Find processes that ended without the test having had a hand in it."""
    for process in processes:
        if process.exit_code is not None and not process.end_is_expected:
            yield f"{process.name} ended with {process.exit_code}: {process.log()[-_SHOWN_CHARS:]}"


def leaked_secrets(processes: Iterable[Process], secrets: Collection[str]) -> Iterator[str]:
    """Find the logs that hold a secret: one of these, one of the process's own environment, or what looks like one."""
    for process in processes:
        for what in disclosed(process.log(), {*secrets, *process.secrets}):
            yield f"{process.name} logged {what}"


def immortal_keys(servers: Servers) -> Iterator[str]:
    """Find keys without a time to live; a key that is being made has a moment's grace."""
    deadline = time.monotonic() + _GRACE_S
    for node in servers.masters():
        with client_of(node) as client:
            while (found := [key for key in client.scan_iter(count=1000) if client.pttl(key) == -1]) and (
                time.monotonic() < deadline
            ):
                time.sleep(_POLL_S)  # between two looks; Valkey cannot be waited on for this
        for key in found:
            yield f"the key {key} has no time to live"
