"""The whole of Andon on one machine: Valkey, the sim, two workers, two gateways, as children of this process.

Owns which processes there are, their environment, their order and how each is known to be ready. Does not own their
lives (`andon.supervisor`), nor what is said to the user (`andon.command.dev`, `andon.command.demo`).

Guarantee: within the block both gateways are ready, and after it nothing is left: no process, no file.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from andon.command.ports import claim, next_free
from andon.command.probe import answers_200
from andon.embedded import answers, server_argv
from andon.embedded_home import Home
from andon.settings import load_settings
from andon.sim.options import SimOptions
from andon.supervisor import Program, Sink, Supervisor, supervise

_PORT = 21100
_DRAIN_S = "3"  # a developer's Ctrl-C should not take the half minute of a rolling deployment
_GRACE_MARGIN_S = 5.0  # over the drain, until SIGKILL
_WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What may differ from one stack to the next.

    `port` is the first gateway's and was asked for, so it and the next one must be free; without it the first free
    ports from `search_from` on are taken.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    search_from: int = _PORT
    sim: SimOptions = field(default_factory=SimOptions)


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything is. URLs of gateways are `http://host:port`; `sim_url` is None with a real upstream."""

    gateways: tuple[str, str]
    sim_url: str | None
    upstream: str
    redis_url: str
    log_dir: Path
    supervisor: Supervisor

    @property
    def sockets(self) -> tuple[str, str]:
        """The WebSocket endpoints of the gateways."""
        first, second = (f"{url.replace('http', 'ws', 1)}/v1/responses" for url in self.gateways)
        return first, second


def upstream_of_own() -> str | None:
    """Say which model server the environment names; None where it names none and the sim stands in."""
    source = os.environ.get("ANDON_UPSTREAM_API", "")
    if ":" in source:
        return f"the generator {source}"
    if base_url := os.environ.get("OPENAI_BASE_URL"):
        return base_url
    return "the OpenAI API" if os.environ.get("OPENAI_API_KEY") else None


@asynccontextmanager
async def running_stack(
    options: StackOptions, *, echo: Callable[[str], None] | None = None, hurry: asyncio.Event | None = None
) -> AsyncIterator[Stack]:
    """Start it all, stage by stage, and end it in the reverse order with the block.

    Output goes to a file a process in `Stack.log_dir`, and, with a name before each line, to `echo`. Raises
    StartError, with one clear line, when something can't start; setting `hurry` cuts the ending short. Cancelling it
    is safe.
    """
    port_a, port_b, sim_port = _ports(options)
    home = Home.create()
    try:
        with ExitStack() as files:
            logs = home.path / "logs"
            logs.mkdir()
            async with supervise(_log_files(logs, files, echo), home=home, hurry=hurry) as supervisor:
                own = upstream_of_own()
                sim_url = None if own else _url(options.host, sim_port)
                stack = Stack(
                    gateways=(_url(options.host, port_a), _url(options.host, port_b)),
                    sim_url=sim_url,
                    upstream=own or "the sim",
                    redis_url=f"unix://{home.socket}",
                    log_dir=logs,
                    supervisor=supervisor,
                )
                await _start(stack, home, options, (port_a, port_b, sim_port))
                yield stack
    finally:
        home.close()


def _ports(options: StackOptions) -> tuple[int, int, int]:
    if options.port is not None:
        port_a, port_b = claim(options.host, options.port), claim(options.host, options.port + 1)
    else:
        port_a = next_free(options.host, options.search_from)
        port_b = next_free(options.host, port_a + 1)
    return port_a, port_b, next_free(options.host, port_b + 9)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _start(stack: Stack, home: Home, options: StackOptions, ports: tuple[int, int, int]) -> None:
    port_a, port_b, sim_port = ports
    supervisor, shared = stack.supervisor, _environment(stack.redis_url)
    pages = {"ANDON_CHAT_PAGE": "true", "ANDON_REPLICAS": ",".join(stack.gateways), **_model_of(stack), **shared}
    # Read here too: a bad setting is one line before anything has started, and the drain bounds the end.
    grace_s = load_settings(shared).drain_s + _GRACE_MARGIN_S
    await supervisor.start(_valkey(home, shared))
    # The rest start at once: a worker needs no model, and a gateway no worker, until there is a response to make. That
    # they are stages decides the order of the end.
    worker_env = {**shared, **{name: value for name, value in os.environ.items() if name.startswith("OPENAI_")}}
    if stack.sim_url is not None:
        supervisor.launch(_sim(home, stack.sim_url, sim_port, options, shared))
        worker_env |= {"OPENAI_BASE_URL": f"{stack.sim_url}/v1", "OPENAI_API_KEY": "none-needed-by-the-sim"}
    worker_argv = (*_python(home), "-m", "worker")
    supervisor.launch(
        *(
            Program(f"worker-{number}", worker_argv, worker_env, ready_text=b"worker.ready", grace_s=grace_s)
            for number in range(1, _WORKERS + 1)
        )
    )
    supervisor.launch(
        *(
            Program(
                f"gateway-{letter}",
                (*_python(home), "-m", "gateway", "--host", options.host, "--port", str(port)),
                pages,
                probe=_answering(f"{url}/readyz"),
                grace_s=grace_s,
            )
            for letter, port, url in zip("ab", (port_a, port_b), stack.gateways, strict=True)
        )
    )
    await supervisor.ready()


def _model_of(stack: Stack) -> dict[str, str]:
    return {"ANDON_CHAT_MODEL": "sim"} if stack.sim_url is not None else {}


def _environment(redis_url: str) -> dict[str, str]:
    """Return what every child gets: no credential of the model server, and nothing meant for our clients."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OPENAI_") and name not in {"ANDON_TOKEN", "ANDON_URL"}
    }
    return {"ANDON_DRAIN_S": _DRAIN_S, **kept, "ANDON_REDIS_URL": redis_url, "PYTHONUNBUFFERED": "1"}


def _python(home: Home) -> tuple[str, ...]:
    """Return how a Python child is run.

    `-P`, lest a directory `worker` of the user's is taken for ours. The `-X` option means nothing to Python: it names
    the home, by which a clean-up knows the process.
    """
    return (sys.executable, "-P", "-X", f"andon_home={home.path}")


def _valkey(home: Home, env: dict[str, str]) -> Program:
    async def probe() -> bool:
        return await asyncio.to_thread(answers, home.socket)

    return Program("valkey", tuple(server_argv(home)), env, probe=probe)


def _sim(home: Home, url: str, port: int, options: StackOptions, env: dict[str, str]) -> Program:
    sim = options.sim
    asked = ("--host", options.host, "--port", str(port), "--rate", str(sim.rate), "--ttft", str(sim.ttft_s))
    more = ("--tokens", str(sim.tokens), "--seed", str(sim.seed))
    argv = (*_python(home), "-m", "andon.command", "sim", *asked, *more)
    return Program("sim", argv, env, probe=_answering(f"{url}/healthz"))


def _answering(url: str) -> Callable[[], "asyncio.Future[bool]"]:
    return lambda: asyncio.ensure_future(answers_200(url))


def _log_files(directory: Path, files: ExitStack, echo: Callable[[str], None] | None) -> Sink:
    """Return a sink that writes a file a child, opened at its first line and closed with `files`."""
    opened: dict[str, BinaryIO] = {}

    def take(name: str, line: bytes) -> None:
        if name not in opened:
            opened[name] = files.enter_context((directory / f"{name}.log").open("ab", buffering=0))
        opened[name].write(line + b"\n")
        if echo is not None:
            echo(f"{name:>10} | {line.decode(errors='replace')}")

    return take
