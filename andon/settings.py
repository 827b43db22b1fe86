"""Settings: the `ANDON_*` environment, read once a process into one frozen model.

Each field states its unit, bounds and reason. An unknown `ANDON_` variable stops the start, with the nearest known
name: a misspelt bound is a bound that is not there.
"""

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from andon.address import parse_address, without_password
from andon.errors import StartError

_PREFIX = "ANDON_"
# Read by the command's clients, not by a server process: known, so that they do not stop a start.
_CLIENT_ONLY = frozenset({"ANDON_TOKEN", "ANDON_URL"})


class DrainEnding(StrEnum):
    """How a draining worker ends what has not finished by the deadline."""

    CANCELLED = "cancelled"
    FAILED = "failed"


def _known_upstream(value: str) -> str:
    module, _, function = value.partition(":")
    if value in {"responses", "chat"} or (module and function.isidentifier()):
        return value
    raise ValueError("must be `responses`, `chat`, or `package.module:function`")


def _known_scheme(value: str) -> str:
    parse_address(value)
    return value


# A presence lasts for half of the abandon time, and a gateway looks twice a second which are due.
SHORTEST_ABANDON_S = 2.0
LONGEST_ABANDON_S = 86400.0


def _zero_or_long_enough(value: float) -> float:
    if value == 0 or SHORTEST_ABANDON_S <= value <= LONGEST_ABANDON_S:
        return value
    raise ValueError(f"must be {SHORTEST_ABANDON_S:g} to {LONGEST_ABANDON_S:g}, or 0 for never")


class Settings(BaseModel):
    """What a gateway or worker process is told. Durations in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: Annotated[str, AfterValidator(_known_scheme)] = Field(
        "redis://127.0.0.1:6379/0", description="Where the shared state is: one server, Sentinel or a cluster."
    )
    upstream_api: Annotated[str, AfterValidator(_known_upstream)] = Field(
        "responses", description="What the model server speaks."
    )
    auth: Literal["none"] = Field("none", description="How clients are told apart.")
    auth_none_is_meant: bool = Field(
        default=False, description="Says aloud that `ANDON_AUTH=none` is meant on an address that others can reach."
    )
    lease_s: float = Field(
        5.0, ge=0.5, le=300, description="Seconds without a renewed lease until a worker counts as dead."
    )
    drain_s: float = Field(30.0, ge=0, le=3600, description="Seconds a SIGTERM may take.")
    drain_ending: DrainEnding = Field(
        DrainEnding.CANCELLED, description="How a drain ends jobs that have produced output but not finished."
    )
    log_ttl_s: float = Field(600.0, ge=1, le=604800, description="Seconds an ended response can be replayed.")
    session_ttl_s: float = Field(
        86400.0, ge=1, le=2592000, description="Seconds stored turns and an idle session are kept."
    )
    queue_ttl_s: float = Field(300.0, ge=1, le=86400, description="Seconds a job may wait for a worker.")
    max_run_s: float = Field(3600.0, ge=1, le=86400, description="Seconds a job may run.")
    abandon_s: Annotated[float, AfterValidator(_zero_or_long_enough)] = Field(
        60.0, description="Seconds without a socket until a live response is stopped, 2 to 86400; 0: never."
    )
    worker_concurrency: int = Field(500, ge=1, le=100_000, description="Live streams a worker process takes.")
    max_frame_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest client frame.")
    max_lanes: int = Field(32, ge=1, le=1024, description="Busy lanes a socket may have at once.")
    outbox_bytes: int = Field(
        1024 * 1024, ge=64 * 1024, le=64 * 1024 * 1024, description="Unsent bytes a socket may hold before replay."
    )
    slow_reader_s: float = Field(
        30.0, ge=1, le=3600, description="Seconds in which a socket that is behind must take `ANDON_OUTBOX_BYTES`."
    )
    job_buffer_bytes: int = Field(
        4 * 1024 * 1024, ge=64 * 1024, le=256 * 1024 * 1024, description="Unlogged bytes a job may hold in its worker."
    )
    max_attempts: int = Field(3, ge=1, le=20, description="Claims a job may have before its loss is its failure.")
    upstream_retries: int = Field(2, ge=0, le=10, description="Repeats of an upstream request before its first event.")
    upstream_running_usage: bool = Field(
        default=False,
        description="Asks a Chat Completions server for its usage in every chunk, as vLLM offers: then also a stopped "
        "response has exact usage. A server that does not know it may refuse.",
    )
    upstream_gap_s: float = Field(
        120.0, ge=0.1, le=3600, description="Seconds an upstream may be silent between two bytes."
    )
    command_timeout_s: float = Field(
        2.0, ge=0.05, le=60, description="Seconds one Redis command may take before its connection is given up."
    )
    cancel_wait_s: float = Field(2.0, ge=0.05, le=30, description="Most seconds until `response.cancel.done`")
    replica_wait_s: float = Field(
        0.2, ge=0.001, le=10, description="Seconds a stop waits for a replica, where Redis has one."
    )
    ws_ping_interval_s: float = Field(20.0, ge=1, le=3600, description="Seconds between WebSocket pings.")
    ws_ping_timeout_s: float = Field(20.0, ge=1, le=3600, description="Seconds a pong may take.")
    sse_keepalive_s: float = Field(
        10.0, ge=0.05, le=3600, description="Seconds of silence after which an SSE stream gets a comment."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is logged.")

    @property
    def live_ttl_s(self) -> float:
        """Time to live of the keys of live work: longer than any job can live without a renewal."""
        return self.queue_ttl_s + self.max_run_s + self.log_ttl_s


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises StartError with one line that names the variable, what is wrong with it and the nearest known name.
    """
    environ = os.environ if environ is None else environ
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for name in environ:
        if name.upper().startswith(_PREFIX) and name.upper() not in known | _CLIENT_ONLY:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise StartError(f"unknown setting {name}: did you mean {nearest[0]}?")
    values = {name[len(_PREFIX) :].lower(): value for name, value in environ.items() if name.upper() in known}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        given = without_password(first["input"]) if name == "ANDON_REDIS_URL" else first["input"]
        raise StartError(f"bad setting {name}={given!r}: {first['msg']}") from error
