"""Andon as a contender: `andon gateway` and `andon worker` as they are deployed.

Owns which settings differ from the defaults: the streams a worker takes (the bench runs up to 2,000 on one), and its
lease. Reads of frames only what it must: the type, which comes first in each (`andon.frames` writes it so).
"""

import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bench.contender import Ability, Kind, Place, Program, Reading, Role

_TOKENS: Final = Reading(Kind.TOKENS)
_OTHER: Final = Reading(Kind.OTHER)
_ENDED: Final = Reading(Kind.ENDED)
_KINDS: Final[Mapping[bytes, Reading]] = {
    b"response.completed": _ENDED,
    b"response.incomplete": _ENDED,
    b"response.failed": Reading(Kind.FAILED),
    b"response.cancel.accepted": Reading(Kind.STOPPING),
    b"response.cancel.failed": Reading(Kind.FAILED),
    b"error": Reading(Kind.FAILED),
}
_DELTA: Final = b'{"type":"response.output_text.delta"'
_TYPE_AT: Final = len(b'{"type":"')


class _Created(msgspec.Struct):
    response_id: str


class AndonDialect:
    """The Responses WebSocket mode."""

    greeting: Sequence[bytes] = ()
    waits_for_ready = False

    def __init__(self, session: str) -> None:
        self.target = f"/v1/responses?session={session}&on_stop=keep"

    def create(self, prompt: str) -> bytes:
        """Return a create frame."""
        return msgspec.json.encode({"type": "response.create", "model": "bench", "input": prompt})

    def stop(self, response_id: str) -> bytes:
        """Return a cancel frame."""
        return b'{"type":"response.cancel","response_id":"%b"}' % response_id.encode()

    def attach(self, response_id: str) -> bytes:
        """Return a retrieve frame."""
        return b'{"type":"response.retrieve","response_id":"%b"}' % response_id.encode()

    def read(self, frame: bytes) -> Reading:
        """Tell what a frame is."""
        if frame.startswith(_DELTA):
            return _TOKENS
        kind = frame[_TYPE_AT : frame.index(b'"', _TYPE_AT)]
        if kind == b"response.created":
            return Reading(Kind.STARTED, msgspec.json.decode(frame, type=_Created).response_id)
        return _KINDS.get(kind, _OTHER)


class AndonContender:
    """Andon."""

    name = "andon"
    title = "Andon"
    abilities = frozenset(Ability)

    @property
    def version(self) -> str:
        """Its own, and of what its speed rests on."""
        on = ("openai", "redis", "hiredis", "uvicorn", "uvloop", "msgspec")
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("andon", *on))

    def programs(self, place: Place) -> Sequence[Program]:
        """Return the gateways and workers."""
        env = {
            "ANDON_REDIS_URL": place.redis_url,
            "ANDON_UPSTREAM_API": "responses",
            "ANDON_WORKER_CONCURRENCY": "5000",
            # A machine that measures many at once may starve a worker for longer than the default's 5 s. And once a
            # lease all sessions of the last minute are swept: in a window of a few seconds that is there or is not.
            "ANDON_LEASE_S": "60",
            "OPENAI_BASE_URL": place.upstream,
            "OPENAI_API_KEY": "bench",
        }
        andon = (sys.executable, "-m", "andon.command")
        gateway = Program(role=Role.GATEWAY, argv=(*andon, "gateway", "--port", "0"), env=env, ready=_port)
        worker = Program(role=Role.WORKER, argv=(*andon, "worker"), env=env, ready=_zero)
        return [gateway] * place.gateways + [worker] * place.workers

    def dialect(self, session: str) -> AndonDialect:
        """Return what is spoken on a socket of this session."""
        return AndonDialect(session)


class _Ready(msgspec.Struct):
    event: str = ""
    port: int = 0


def _port(line: bytes) -> int | None:
    return msgspec.json.decode(line, type=_Ready).port if b'"gateway.ready"' in line else None


def _zero(line: bytes) -> int | None:
    return 0 if b'"worker.ready"' in line else None
