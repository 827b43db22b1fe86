"""Start and end: exit codes, and the one clear line of a process that can't start."""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import msgspec
import pytest

from tests.stack.disclosure import disclosed
from tests.stack.process import Process
from tests.stack.stack import Stack

_NOWHERE = "redis://127.0.0.1:1/0"


def _start(logs: Path, module: str, *args: str, **env: str) -> Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANDON_", "OPENAI_"))}
    told = {"OPENAI_API_KEY": "sk-secret-never-shown", **env}
    return Process(module, [sys.executable, "-m", module, *args], {**kept, **told}, logs)


async def _last_words(process: Process) -> str:
    """Wait for the failed start; return its one line that is no log line."""
    try:
        code = await process.ended(timeout_s=30)
        assert code == 1
        lines = [line for line in process.log().splitlines() if not _is_structured(line)]
        assert len(lines) == 1, process.log()
        assert lines[0] == process.log().splitlines()[-1]
        assert lines[0].startswith(f"andon {process.name}: ")
        assert not list(disclosed(process.log(), process.secrets))
        return lines[0]
    finally:
        process.close()


def _is_structured(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        return False


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    """The gateway names the address and ends with exit code 1, before it asks for Redis."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        line = await _last_words(_start(tmp_path, "gateway", "--port", str(port), ANDON_REDIS_URL=_NOWHERE))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


async def test_a_port_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    """A number beyond 65535 is a mistake of the user's, not a traceback."""
    line = await _last_words(_start(tmp_path, "gateway", "--port", "70000", ANDON_REDIS_URL=_NOWHERE))
    assert "70000" in line


async def test_an_open_door_is_refused(tmp_path: Path) -> None:
    """Without authentication a gateway listens on loopback only, unless told that it is meant."""
    line = await _last_words(
        _start(tmp_path, "gateway", "--host", "0.0.0.0", "--port", "0", ANDON_REDIS_URL=_NOWHERE)  # noqa: S104
    )
    assert "ANDON_AUTH" in line


async def test_redis_away_at_the_start_is_told_in_one_line(tmp_path: Path) -> None:
    """Gateway and worker say which address did not answer, without its password, and end with exit code 1."""
    url = "redis://:hunter2hunter2@127.0.0.1:1/0"
    # Side by side, for each takes the seconds that a Redis started at the same time may need.
    with (
        closing(_start(tmp_path, "gateway", "--port", "0", ANDON_REDIS_URL=url)) as gateway,
        closing(_start(tmp_path, "worker", ANDON_REDIS_URL=url)) as worker,
    ):
        for process in (gateway, worker):
            line = await _last_words(process)
            assert "127.0.0.1:1" in line
            assert "ANDON_REDIS_URL" in line
            assert "hunter2" not in process.log()


@pytest.mark.parametrize("module", ["gateway", "worker"])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ANDON_LEASE_S", "soon", "ANDON_LEASE_S"),
        ("ANDON_REDIS_URL", "http://127.0.0.1", "redis://"),
        ("ANDON_QUEUE_TTL", "3", "ANDON_QUEUE_TTL_S"),
        ("ANDON_LESE_S", "3", "ANDON_LEASE_S"),
    ],
    ids=["not_a_number", "foreign_scheme", "unit_left_out", "misspelt"],
)
async def test_a_bad_setting_is_named_and_an_unknown_one_with_the_nearest(
    tmp_path: Path, module: str, name: str, value: str, told: str
) -> None:
    """A bound that is misspelt is a bound that is not there: the start is refused, and says what was meant."""
    line = await _last_words(_start(tmp_path, module, **{name: value}))
    assert name in line
    assert told in line


async def test_a_worker_without_a_key_says_which_variable_to_set(tmp_path: Path) -> None:
    """OPENAI_API_KEY is named."""
    line = await _last_words(_start(tmp_path, "worker", OPENAI_API_KEY="", ANDON_REDIS_URL=_NOWHERE))
    assert "OPENAI_API_KEY" in line


async def test_an_idle_process_ends_with_exit_code_0_on_sigterm(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """Gateway and worker, with a client connected that does nothing: the end is clean and prompt."""
    async with own_stack(gateways=1, workers=1) as stack:
        async with stack.connect() as client:
            await client.send("ping", event_id="there")
            await client.event("pong", event_id="there")
            assert await stack.gateways[0].stop() == 0
            assert (await client.closed())[0] in {1001, 1012}
        assert await stack.workers[0].stop() == 0
