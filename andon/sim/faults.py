"""The sim's models: each name is a behaviour. `GET /v1/models` serves this table.

Owns the names and what each means. Does not own how a behaviour is carried out (`andon.sim.answer` breaks the
stream, `andon.sim.plan` chooses what is said).

A name that does not begin with `sim-` behaves as `sim` does, so any real model's name can be asked for.
"""

import re
from enum import Enum, auto

import msgspec


class Opening(Enum):
    """How an answer begins."""

    ANSWER = auto()
    STATUS = auto()  # an HTTP error in OpenAI's shape
    SILENT = auto()  # response headers, then nothing until the client closes
    MUTE = auto()  # not even response headers


class Ending(Enum):
    """How an answer that has begun comes to its end."""

    WHOLE = auto()
    STALL = auto()
    DROP = auto()
    GARBAGE = auto()
    HALF = auto()
    EOF = auto()
    ERROR_EVENT = auto()
    FAILED = auto()


class Voice(Enum):
    """What is said."""

    PLAIN = auto()
    REFUSAL = auto()
    REASONING = auto()
    TOOLS = auto()
    MULTI = auto()
    WIDE = auto()  # characters of several bytes, cut across TCP writes
    FAT = auto()
    BARE = auto()  # without the fields that third-party servers leave out


class Behaviour(msgspec.Struct, frozen=True):
    """What one model name stands for."""

    about: str
    opening: Opening = Opening.ANSWER
    ending: Ending = Ending.WHOLE
    voice: Voice = Voice.PLAIN
    # The HTTP status of the error answer: to every request (STATUS), or to the first `fails` of one key.
    status: int = 200
    fails: int = 0
    # Tokens a second, where the name decides it; metadata still wins.
    rate: float | None = None
    # Tokens that fall due at the same instant, and so leave in one write.
    burst: int = 1
    # Whether it keeps to the request's limit of tokens.
    keeps_limit: bool = True


def _status(status: int, about: str) -> Behaviour:
    return Behaviour(about=f"HTTP {status}: {about}", opening=Opening.STATUS, status=status)


MODELS: dict[str, Behaviour] = {
    "sim": Behaviour(about="plain text"),
    "sim-silent": Behaviour(about="headers, then nothing until the client closes", opening=Opening.SILENT),
    "sim-mute": Behaviour(about="no response headers, until the client closes", opening=Opening.MUTE),
    "sim-stall": Behaviour(about="some tokens, then silence until the client closes", ending=Ending.STALL),
    "sim-slow": Behaviour(about="2 tokens a second", rate=2.0),
    "sim-400": _status(400, "invalid request"),
    "sim-401": _status(401, "the body echoes the received key, as a hostile upstream would"),
    "sim-403": _status(403, "permission denied"),
    "sim-404": _status(404, "no such model"),
    "sim-408": _status(408, "request timeout"),
    "sim-409": _status(409, "conflict"),
    "sim-422": _status(422, "unprocessable"),
    "sim-429": _status(429, "rate limited, with Retry-After (1, or metadata.sim_retry_after)"),
    "sim-500": _status(500, "server error"),
    "sim-502": _status(502, "bad gateway"),
    "sim-503": _status(503, "unavailable"),
    "sim-529": _status(529, "overloaded"),
    "sim-flaky-N": Behaviour(
        about="the first N requests of one metadata.sim_key (or prompt) answer 500, then plain", status=500
    ),
    "sim-flaky-429-N": Behaviour(
        about="the first N requests of one metadata.sim_key (or prompt) answer 429 with Retry-After, then plain",
        status=429,
    ),
    "sim-drop": Behaviour(about="the connection is reset after some tokens", ending=Ending.DROP),
    "sim-garbage": Behaviour(about="some tokens, then bytes that are neither SSE nor JSON", ending=Ending.GARBAGE),
    "sim-half": Behaviour(about="some tokens, then half an event and a clean end of body", ending=Ending.HALF),
    "sim-eof": Behaviour(about="some tokens, then a clean end of body without a finish", ending=Ending.EOF),
    "sim-error-event": Behaviour(about="some tokens, then an error event; unstreamed 500", ending=Ending.ERROR_EVENT),
    "sim-failed": Behaviour(about="some tokens, then response.failed; Chat: as sim-error-event", ending=Ending.FAILED),
    "sim-refusal": Behaviour(about="a refusal instead of text", voice=Voice.REFUSAL),
    "sim-reasoning": Behaviour(about="a reasoning item (summary and text), then the message", voice=Voice.REASONING),
    "sim-tools": Behaviour(about="two parallel function calls", voice=Voice.TOOLS),
    "sim-burst": Behaviour(about="50 tokens in one TCP write", burst=50),
    "sim-fat": Behaviour(about="tokens of 10 KiB", voice=Voice.FAT),
    "sim-unicode": Behaviour(about="multi-byte text, its characters cut across TCP writes", voice=Voice.WIDE),
    "sim-bare": Behaviour(about="without the fields third-party servers leave out", voice=Voice.BARE),
    "sim-unlimited": Behaviour(about="plain text, whatever limit of tokens was asked for", keeps_limit=False),
    "sim-multi": Behaviour(about="two messages, one after the other; Chat: plain", voice=Voice.MULTI),
}  # fmt: skip

_FLAKY = re.compile(r"sim-flaky-(?:(429)-)?(\d{1,9})")


def behaviour(model: str) -> Behaviour | None:
    """Find what a model name stands for; None for an unknown name that begins with `sim-`."""
    if not model.startswith("sim-"):
        return MODELS["sim"]
    if flaky := _FLAKY.fullmatch(model):
        template = MODELS["sim-flaky-429-N" if flaky[1] else "sim-flaky-N"]
        return msgspec.structs.replace(template, fails=int(flaky[2]))
    return None if model.endswith("-N") else MODELS.get(model)
