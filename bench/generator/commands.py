"""Commands: what the bench tells a load generator in a process of its own, and what that answers. JSON, a line each."""

from typing import TypeAlias

import msgspec

from bench.generator.crowd import Look, StopsLook


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open so many more sockets."""

    count: int


class Start(msgspec.Struct, frozen=True, tag=True):
    """Let each socket without a response ask for one; answered when each has its first token, or the hold is over."""

    rate: float
    tokens: int
    # Seconds from now until their first tokens: so that nobody is busy with the first when the last asks.
    hold_s: float = 0.0


class Attach(msgspec.Struct, frozen=True, tag=True):
    """Let each socket follow one response; answered when each has a token."""

    response_id: str


class TakeLook(msgspec.Struct, frozen=True, tag=True):
    """Tell what came since the last look; keep ages for the next one if asked to."""

    ages: bool = False


class StopAll(msgspec.Struct, frozen=True, tag=True):
    """Stop every response at once; answered when all have ended."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Drop all sockets."""


Command: TypeAlias = Open | Start | Attach | TakeLook | StopAll | Close


class Answer(msgspec.Struct, frozen=True):
    """The answer to any of them."""

    # Of the generator's process, so far.
    cpu_s: float
    # Why it could not be done.
    error: str | None = None
    # Of Open: how long it took.
    seconds: float | None = None
    look: Look | None = None
    stops: StopsLook | None = None
