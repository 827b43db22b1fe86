"""Contender: what Andon, the floor and every peer are to the bench.

Owns the words in which a contender tells which processes it consists of and what it speaks on its WebSocket. Does not
own any contender (`bench.andon_contender`, `bench.floor`, `bench.peers`), nor the life of their processes
(`bench.process`), nor sockets (`bench.generator`).

A dialect does no I/O: the load generator hands it each text frame, and it tells what that was. It is called for every
frame of thousands of streams, so it looks for a few bytes and parses no JSON where it can help it: what it costs is
taken from the cores that the contenders run on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple, Protocol


class Role(StrEnum):
    """What a process does: CPU and memory are summed by it."""

    GATEWAY = "gateway"
    WORKER = "worker"
    BOTH = "both"


class Ability(Enum):
    """What a contender can do; measures that need another are not run on it."""

    # A stop that closes the upstream.
    STOP = "stop"
    # The same, asked for on a socket of another gateway process.
    STOP_ELSEWHERE = "stop elsewhere"
    # One response to several sockets.
    ATTACH = "attach"
    # Several gateway processes, several worker processes.
    REPLICAS = "replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a contender runs in: made by the bench, a Redis and a model server there already."""

    # Of an OpenAI-compatible server, `/v1` included, no slash at its end. Both APIs are served.
    upstream: str
    # `redis://127.0.0.1:PORT/0`, shared by all contenders: each keeps to names of its own, and flushes nothing.
    redis_url: str
    # How many processes of each role; with `Role.BOTH`, `gateways` counts.
    gateways: int = 1
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to start. It ends within a few seconds of a SIGTERM, or is killed."""

    role: Role
    argv: Sequence[str]
    # Beside the caller's own environment, from which all of `ANDON_*`, `OPENAI_*` is taken away.
    env: Mapping[str, str] = field(default_factory=dict)
    # Given each line that the process writes (both outputs), tells its TCP port on 127.0.0.1 once that line says that
    # it is ready (0: it listens nowhere), None otherwise.
    ready: Callable[[bytes], int | None]


class Kind(IntEnum):
    """What a frame from the server means."""

    # Nothing that the bench looks at.
    OTHER = 0
    # The socket may be used now: only where `Dialect.waits_for_ready`.
    READY = 1
    # The response has an id, by which it can be stopped: `Reading.id`. Once a response, before its first token.
    STARTED = 2
    # The frame carries text deltas and nothing else with marks in it (`bench.ask.count_marks` is used on all of it).
    TOKENS = 3
    # The stop is recorded; optional.
    STOPPING = 4
    # The response has ended, by itself or stopped: nothing more comes of it.
    ENDED = 5
    # The request failed, or the server complains: the measure fails with the frame as its message.
    FAILED = 6


class Reading(NamedTuple):
    """What a frame was. Make the common ones once, as constants."""

    kind: Kind
    # Of the response, with STARTED.
    id: str = ""
    # A frame to send back at once, whatever the kind (an Engine.IO pong).
    reply: bytes | None = None


class Dialect(Protocol):
    """What is spoken on one WebSocket. All frames are text, as UTF-8 bytes. One response at a time."""

    # The request's target, path and query. Fixed at its making.
    target: str
    # Sent as soon as the socket is open (an Engine.IO connect).
    greeting: Sequence[bytes]
    # Whether nothing may be sent but the greeting until a frame was READY.
    waits_for_ready: bool

    def create(self, prompt: str) -> bytes:
        """Return the frame that asks for a streamed response; `prompt` must reach the model as it is."""

    def stop(self, response_id: str) -> bytes:
        """Return the frame that stops a response: one of this very socket, or (STOP_ELSEWHERE) of another."""

    def attach(self, response_id: str) -> bytes:
        """Return the frame by which this socket too gets the tokens from now on, or from the first (ATTACH)."""

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame from the server is."""


class Contender(Protocol):
    """One that is measured."""

    @property
    def name(self) -> str:
        """Short, for arguments, file names and JSON: `andon`, `naive`."""

    @property
    def title(self) -> str:
        """For tables and plots: `Andon`, `naive (as tutorials have it)`."""

    @property
    def version(self) -> str:
        """Of itself and of what it is built on: `python-socketio 5.14.1, uvicorn 0.54.0`."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""

    def programs(self, place: Place) -> Sequence[Program]:
        """Return its processes; they are started side by side."""

    def dialect(self, session: str) -> Dialect:
        """Return what is spoken on a new socket, which belongs to this session (letters, digits, `-`)."""
