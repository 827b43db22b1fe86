"""Settings: the `ANDON_*` environment, read once a process into one frozen model.

Each field states its unit, bounds and reason. An unknown `ANDON_` variable stops the start, with the nearest known
name: a misspelt bound is a bound that is not there.
"""

import difflib
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from andon.address import parse_address
from andon.errors import StartError

_PREFIX = "ANDON_"
# Read by the command's clients, not by a server process: known, so that they do not stop a start.
_CLIENT_ONLY = frozenset({"ANDON_TOKEN", "ANDON_URL"})


class DrainEnding(StrEnum):
    """How a draining worker ends what has not finished by the deadline."""

    CANCELLED = "cancelled"
    FAILED = "failed"


class UpstreamTransport(StrEnum):
    """What carries requests to the model server."""

    PUSH = "push"
    PLAIN = "plain"


def _known_upstream(value: str) -> str:
    module, _, function = value.partition(":")
    if value in {"responses", "chat"} or (module and function.isidentifier()):
        return value
    raise ValueError("must be `responses`, `chat`, or `package.module:function`")


def _known_scheme(value: str) -> str:
    parse_address(value)
    return value


_ORIGIN: Final = re.compile(r"https?://[^/?#@\s]+")


def _origins(value: Any) -> Any:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _known_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("must be origins as browsers send them (https://app.example.com), comma-separated, or *")
    return value


# A presence lasts for half of the abandon time, and a gateway looks twice a second which are due.
SHORTEST_ABANDON_S = 2.0
LONGEST_ABANDON_S = 86400.0


def _zero_or_long_enough(value: float) -> float:
    if value == 0 or SHORTEST_ABANDON_S <= value <= LONGEST_ABANDON_S:
        return value
    raise ValueError(f"must be {SHORTEST_ABANDON_S:g} to {LONGEST_ABANDON_S:g}, or 0 for never")


SHORTEST_DEADLINE_S = 0.1
LONGEST_DEADLINE_S = 604800.0


def _zero_or_a_deadline(value: float) -> float:
    if value == 0 or SHORTEST_DEADLINE_S <= value <= LONGEST_DEADLINE_S:
        return value
    raise ValueError(f"must be {SHORTEST_DEADLINE_S:g} to {LONGEST_DEADLINE_S:g}, or 0 for none")


class Settings(BaseModel):
    """What a gateway or worker process is told. Durations in seconds, sizes in bytes."""

    # A value may be a secret: pydantic's own messages would repeat it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # Not shown: it may hold a password.
    redis_url: Annotated[str, AfterValidator(_known_scheme)] = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Where the shared state is: one server, Sentinel or a cluster.",
    )
    upstream_api: Annotated[str, AfterValidator(_known_upstream)] = Field(
        "responses",
        description="What the model server speaks, `responses` or `chat`; or `package.module:function`, a source of "
        "your own (docs/sources.md).",
    )
    auth: Literal["none", "jwt", "keys"] = Field(
        "none", description="How clients are told apart: not at all, by tokens of an issuer, by keys of a file."
    )
    auth_none_is_meant: bool = Field(
        default=False, description="Says aloud that `ANDON_AUTH=none` is meant on an address that others can reach."
    )
    auth_grace_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds a connection outlives its token, so that it can be refreshed."
    )
    allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_origins), AfterValidator(_known_origins)] = Field(
        (), description="Origins of web pages that may call, beside the gateway's own; comma-separated, `*`: any."
    )
    keys_file: str | None = Field(None, description="The file of keys, with `ANDON_AUTH=keys`; `andon key` makes them.")
    jwt_secret: SecretStr | None = Field(None, description="The secret of HS256 tokens, 32 bytes or more.")
    jwt_public_key: str | None = Field(
        None, description="The public key of RS256, ES256 or EdDSA tokens: PEM, or the path of a PEM file."
    )
    jwt_jwks_url: str | None = Field(None, description="Where the issuer publishes its keys, as a JWK Set.")
    jwt_jwks_refresh_s: float = Field(300.0, ge=1, le=86400, description="Seconds between two readings of that URL.")
    jwt_issuer: str | None = Field(None, description="The `iss` that a token must have.")
    jwt_audience: str | None = Field(None, description="The `aud` that a token must have, or one of its own must be.")
    jwt_leeway_s: float = Field(10.0, ge=0, le=300, description="Seconds that the issuer's clock may differ from ours.")
    jwt_subject_claim: str = Field("sub", min_length=1, description="The claim that holds the subject.")
    jwt_tenant_claim: str = Field(
        "tenant", min_length=1, description="The claim that holds the tenant; a token without it is of `default`."
    )
    jwt_scopes_claim: str = Field(
        "scope", min_length=1, description="The claim that holds the scopes: words in a string, or a list."
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
    max_input_bytes: int = Field(
        0,
        ge=0,
        le=64 * 1024 * 1024,
        description="Bytes of `input`, `instructions`, `tools` and `prompt` a create may have, as JSON; 0: as many as "
        "fit into a frame.",
    )
    max_output_tokens: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Output tokens a response may have; 0: as many as the model server gives. For gateways, which ask "
        "for no more, and workers, which close a model server that does not keep to it.",
    )
    deadline_s: Annotated[float, AfterValidator(_zero_or_a_deadline)] = Field(
        0.0,
        description="Seconds from its create in which a response must end, the queue included, 0.1 to 604800; 0: none.",
    )
    # What is counted in Redis is off by default: without authentication everybody is one and the same principal.
    max_live_per_principal: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Live responses a principal may have, waiting ones included; 0: not counted. The same for gateways "
        "and workers.",
    )
    max_live_per_tenant: int = Field(
        0, ge=0, le=1_000_000, description="The same for all principals of a tenant together."
    )
    creates_per_minute: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Creates a principal may make: a bucket of so many, filled evenly within a minute; 0: not counted.",
    )
    max_sockets_per_principal: int = Field(
        0, ge=0, le=1_000_000, description="WebSockets a principal may have open on all gateways; 0: not counted."
    )
    max_sockets: int = Field(
        0, ge=0, le=1_000_000, description="WebSockets a gateway process may have open; 0: no bound of its own."
    )
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
    upstream_transport: UpstreamTransport = Field(
        UpstreamTransport.PUSH,
        description="`push` reads a model server's answers as their bytes arrive; `plain` is httpx2's own transport, "
        "slower, the reference, and what is used where the environment names a proxy.",
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
    audit_max_entries: int = Field(
        200_000, ge=1000, le=100_000_000, description="Entries the audit of stops keeps at most, some 600 bytes each."
    )
    chat_page: bool = Field(default=False, description="Serves a chat page at `/`, for trying things out.")
    chat_model: str = Field("gpt-5.4-mini", description="The model that the chat page asks for at first.")
    console_page: bool = Field(default=True, description="Serves the operator's console at `/console`.")
    replicas: str = Field(
        "", description="Base URLs of the gateways, with commas between: the chat page links to the others."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port on which a worker answers `/metrics` and `/healthz`, and nothing else; 0: any free one; not "
        "given: it listens nowhere. A gateway has `/metrics` beside its other endpoints.",
    )
    metrics_host: str = Field("127.0.0.1", min_length=1, description="Address of that listener.")
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
        field = str(first["loc"][0])
        shown = _shown(field, str(first["input"]))
        # Not `from error`: what pydantic keeps of the input would come with it.
        raise StartError(f"bad setting {_PREFIX}{field.upper()}{shown}: {first['msg']}") from None


def _shown(field: str, value: str) -> str:
    """Show what was set, unless it is a secret, or an address that may hold one."""
    is_secret = Settings.model_fields[field].annotation == SecretStr | None or "@" in value or "password=" in value
    return "" if is_secret else f"={value!r}"
