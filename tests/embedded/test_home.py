import os
import subprocess
import sys
from pathlib import Path

from andon.embedded_home import Home, command_line, default_root, sweep

OWNER = """
import sys
from pathlib import Path
from andon.embedded_home import Home
print(Home.create(Path(sys.argv[1])).path)
"""


def left_behind(root: Path) -> Path:
    """Make a directory whose owner has died without removing it."""
    done = subprocess.run([sys.executable, "-c", OWNER, str(root)], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_sweep_removes_only_what_the_dead_left(tmp_path: Path) -> None:
    """The lock tells: a directory whose owner lives stays, one whose owner died goes."""
    mine, dead = Home.create(tmp_path), left_behind(tmp_path)
    assert dead.exists()
    assert sweep(tmp_path) == []
    assert not dead.exists()
    assert mine.path.exists()
    mine.close()
    assert not mine.path.exists()


def test_sweep_never_kills_a_stranger_with_a_reused_id(tmp_path: Path) -> None:
    """A noted process id that now belongs to a process which does not name the directory is left alone."""
    dead = left_behind(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (dead / "pids" / str(stranger.pid)).touch()
        assert sweep(tmp_path) == []
        assert stranger.poll() is None
    assert not dead.exists()


def test_sweep_leaves_a_directory_that_is_being_made(tmp_path: Path) -> None:
    """Between mkdtemp and the lock's name a directory looks ownerless; it must survive a sweep by someone else."""
    young = tmp_path / f"andon-{os.getuid()}-young"
    young.mkdir()
    assert sweep(tmp_path) == []
    assert young.exists()


def test_release_forgets_a_process(tmp_path: Path) -> None:
    """What has ended is no longer on the list, so its reused id is never looked at."""
    home = Home.create(tmp_path)
    home.adopt(12345)
    assert [path.name for path in (home.path / "pids").iterdir()] == ["12345"]
    home.release(12345)
    home.release(12345)
    assert list((home.path / "pids").iterdir()) == []
    home.close()


def test_default_root_keeps_the_socket_path_short() -> None:
    """A Unix socket's path has 104 bytes at least; the root leaves room for the rest of it."""
    assert len(str(default_root())) < 60


def test_command_line_of_no_process_is_empty() -> None:
    """A process that is not there names nothing."""
    assert command_line(2**22 + 1) == ""
    assert "pytest" in command_line(os.getpid()) or "python" in command_line(os.getpid())
