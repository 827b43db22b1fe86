"""The private directory of an embedded server: its socket, its log, and the proof of who owns it.

Owns the directory's creation, its lock, the list of processes that live off it, and the clean-up of directories
whose owner died. Does not own those processes while their owner lives.

Guarantees: mode 0700, so the socket in it is the user's alone; a directory whose owner lives is never touched; a
directory whose owner is dead is removed at the next start, together with any process that it left behind (on Linux
there is none: `andon.supervised`).

How "alive" is known: the owner holds an flock on `lock` for as long as it lives; the kernel drops it at any death.
A process id alone proves nothing, it may have been reused: a process is ended only if its command line names the
directory.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

_LOCK = "lock"
_PIDS = "pids"
_SOCKET_PATH_MAX_BYTES = 103  # sun_path: 104 with its NUL on macOS and the BSDs, 108 on Linux
_LONGEST_NAME = "/andon-4294967295-xxxxxxxx/valkey.sock"  # what follows the root, at its longest


def _prefix() -> str:
    """Name the directories of this user: another's can't be read, let alone removed."""
    return f"andon-{os.getuid()}-"


def default_root() -> Path:
    """Return the temporary directory, or /tmp where its name is too long for a Unix socket's path."""
    root = tempfile.gettempdir()
    fits = len(os.fsencode(root)) + len(_LONGEST_NAME) <= _SOCKET_PATH_MAX_BYTES
    return Path(root if fits else "/tmp")  # noqa: S108 - mkdtemp makes a private directory in it


class Home:
    """A locked private directory. Made by `Home.create`; removed by `close`."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        # Held open, and locked, for as long as this process uses the directory. Not inherited by children.
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, root: Path | None = None) -> "Home":
        """Clear what dead owners left under `root`, then make a directory of our own there."""
        root = root or default_root()
        sweep(root)
        path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=root))
        (path / _PIDS).mkdir()
        # Locked before it has its name: a sweep never sees a `lock` that its living owner does not hold.
        unnamed = path / "lock.new"
        lock_fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        unnamed.rename(path / _LOCK)
        return cls(path, lock_fd)

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.path / "valkey.sock"

    def adopt(self, pid: int) -> None:
        """Note a process that must not outlive the owner; its command line has to name this directory."""
        (self.path / _PIDS / str(pid)).touch()

    def release(self, pid: int) -> None:
        """Forget a process that has ended."""
        (self.path / _PIDS / str(pid)).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the directory and give up the lock. Everything that lived off it has ended by now."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def sweep(root: Path) -> list[int]:
    """End what dead owners left running, remove their directories; return the ids of the processes ended.

    Safe beside living owners and beside other sweeps: a directory is touched only by who holds its lock.
    """
    ended: list[int] = []
    for path in root.glob(f"{_prefix()}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            lock_fd = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # being made, or just removed by another sweep
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its owner lives
        else:
            ended += _end_left_behind(path)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock_fd)
    return ended


def _end_left_behind(path: Path) -> list[int]:
    ended = []
    for noted in (path / _PIDS).glob("*"):
        pid = int(noted.name)
        if str(path) in command_line(pid):
            # SIGKILL: nobody is left to wait for a drain, and the data was never meant to last.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended


def command_line(pid: int) -> str:
    """Return a process's command line, arguments parted by blanks; empty if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = subprocess.run(  # noqa: S603 - a number is all that varies
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - wherever this system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout
