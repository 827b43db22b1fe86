"""Load: what a number of live sockets asks for, under stated assumptions. Arithmetic."""

from dataclasses import dataclass
from typing import Final

from andon.audit import KEEP_S as AUDIT_KEEP_S
from andon.settings import Settings
from andon.settlements import KEEP_S as SETTLEMENTS_KEEP_S
from bench.scaling.figures import Figures

_SETTINGS: Final = Settings()
_HOUR_S: Final = 3600.0
GIB: Final = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What people do, and what machines are given. `text`: each, for the page."""

    # People: each has a socket, and a session of its own.
    turns_an_hour: float = 10.0
    tokens_a_turn: float = 500.0
    input_tokens: float = 200.0
    tokens_a_second: float = 50.0
    # Sockets that follow a response: some people have two devices open.
    fan_out: float = 1.2
    stopped_share: float = 0.1
    # Machines.
    busy_share: float = 0.6
    shard_bytes: float = 16 * GIB
    streams_a_worker: float = 0.7 * _SETTINGS.worker_concurrency
    sockets_a_gateway: float = 5000.0
    round_trip_s: float = 0.0005
    # One simple command, from many clients: 1 us in a full batch, 29 to 42 alone.
    command_us: float = 5.0
    # As they are by default.
    log_ttl_s: float = _SETTINGS.log_ttl_s
    session_ttl_s: float = _SETTINGS.session_ttl_s
    lease_s: float = _SETTINGS.lease_s
    audit_entries: float = _SETTINGS.audit_max_entries
    settlements_keep_s: float = SETTLEMENTS_KEEP_S
    audit_keep_s: float = AUDIT_KEEP_S


@dataclass(frozen=True, slots=True)
class Load:
    """The rates of one size; per second, where nothing else is said."""

    sockets: int
    assumed: Assumptions
    figures: Figures

    @property
    def responses(self) -> float:
        """Responses begun, and ended."""
        return self.sockets * self.assumed.turns_an_hour / _HOUR_S

    @property
    def stream_s(self) -> float:
        """How long one streams."""
        return self.assumed.tokens_a_turn / self.assumed.tokens_a_second

    @property
    def streams(self) -> float:
        """Live at any time (Little's law)."""
        return self.responses * self.stream_s

    @property
    def tokens(self) -> float:
        """Tokens made."""
        return self.responses * self.assumed.tokens_a_turn

    @property
    def delivered(self) -> float:
        """Tokens sent to sockets."""
        return self.tokens * self.assumed.fan_out

    @property
    def stops(self) -> float:
        """Stops asked for."""
        return self.responses * self.assumed.stopped_share

    # ── what it costs, in cores and bytes ────────────────────────────────────────────────────────────────────────

    @property
    def redis_cores(self) -> float:
        """Cores of Redis, all shards together."""
        return _cores(self.tokens, self.figures.token_redis_us, self.responses, self.figures.response_redis_us)

    @property
    def worker_cores(self) -> float:
        """Cores of all workers."""
        return _cores(self.tokens, self.figures.token_worker_us, self.responses, self.figures.response_worker_us)

    @property
    def gateway_cores(self) -> float:
        """Cores of all gateways."""
        return _cores(self.delivered, self.figures.token_gateway_us, self.responses, self.figures.response_gateway_us)

    @property
    def log_bytes(self) -> float:
        """Jobs and their logs, live and as long as they can be replayed."""
        each = self.figures.job_bytes + self.assumed.tokens_a_turn * self.figures.log_token_bytes
        return self.responses * (self.stream_s + self.assumed.log_ttl_s) * each

    @property
    def turn_bytes(self) -> float:
        """Stored turns, and the sessions that they are of."""
        tokens = self.assumed.tokens_a_turn + self.assumed.input_tokens
        each = self.figures.turn_bytes + tokens * self.figures.turn_token_bytes
        return self.responses * self.assumed.session_ttl_s * each + self.sockets * self.figures.session_bytes

    @property
    def settlement_bytes(self) -> float:
        """The stream of settlements: one key."""
        return self.responses * self.assumed.settlements_keep_s * self.figures.settlement_bytes


def _cores(tokens: float, token_us: float, responses: float, response_us: float) -> float:
    return (tokens * token_us + responses * response_us) / 1e6
