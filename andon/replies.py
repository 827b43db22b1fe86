"""Replies: what the scripts answer, typed, and what a job's hash says.

Owns the words of the store's door: what goes into a submit, and what comes back from each script. Pure: bytes in,
structs out.
"""

from enum import StrEnum
from typing import Final, Literal, TypeVar

import msgspec

from andon.errors import ContractError
from andon.ids import Principal, ResponseId, SessionName, SessionTag, WorkerId, tag_of
from andon.response import Status, Stop
from andon.scopes import administers
from andon.tracing import NO_TRACE, TraceContext

_E = TypeVar("_E", bound=StrEnum)


class Whose(msgspec.Struct, frozen=True):
    """Whose a response is, and which trace it belongs to: what every log line and span about it says."""

    session: SessionName
    tenant: str
    subject: str
    # Of the span that created it.
    trace: TraceContext = NO_TRACE


# Of a job that nobody has told of.
NOBODYS: Final = Whose(SessionName(""), "", "")


class Submission(msgspec.Struct, frozen=True):
    """What the submit writes: the accepted request and the texts that every later frame is joined from."""

    response_id: ResponseId
    principal: Principal
    session: SessionName
    # `socket/stream_id`, or '' where there is no lane (HTTP).
    lane: str
    envelope: bytes
    base: bytes
    request: bytes
    record: bytes
    # The turns before it, oldest first.
    chain: tuple[ResponseId, ...] = ()
    is_stored: bool = True
    # The client's own id of the create, and a digest of what it asked for: a repeat is known by them.
    event_id: str | None = None
    digest: str = ""
    # Seconds without anybody attached until it is stopped; 0: never.
    abandon_s: float = 0
    # Seconds from the submit in which it must end; 0: no deadline.
    deadline_s: float = 0
    # Of the span that creates it; the job carries it, over every claim.
    trace: TraceContext = NO_TRACE

    @property
    def whose(self) -> Whose:
        """Tell whose it is."""
        return Whose(self.session, self.principal.tenant, self.principal.subject, self.trace)


class Submitted(StrEnum):
    """What became of a submission."""

    QUEUED = "queued"
    WAITING = "waiting"
    DUPLICATE = "duplicate"
    LANE_FULL = "lane_full"
    FOREIGN = "foreign"
    KNOWN = "known"
    CONFLICT = "conflict"


class Submittal(msgspec.Struct, frozen=True):
    """The answer to a submission. `response_id`: the response that it is about, for a known create the earlier one."""

    tag: Submitted
    response_id: ResponseId


class Claimed(msgspec.Struct, frozen=True):
    """A job, and the right of one worker to write it: (worker id, generation)."""

    response_id: ResponseId
    worker_id: WorkerId
    generation: int
    next_number: int
    request: bytes
    envelope: bytes
    base: bytes
    record: bytes
    earlier_claims: int
    chain: tuple[ResponseId, ...] = ()
    abandon_s: float = 0
    # Seconds from the claim until its deadline; None: it has none.
    left_s: float | None = None
    whose: Whose = NOBODYS

    @property
    def tag(self) -> SessionTag:
        """Return the tag of the job's session."""
        return tag_of(self.response_id)


class Refused(StrEnum):
    """Why a claim was refused.

    Its queue entry is written first: so a job that is gone may still appear, and one that is taken may be given back.
    """

    GONE = "gone"
    WAITING = "waiting"
    TAKEN = "taken"
    ENDED = "ended"
    STOPPED = "stopped"
    EXPIRED = "expired"


class Written(StrEnum):
    """What became of an append, a settlement, a requeue, a look or an ack."""

    OK = "ok"
    DUPLICATE = "duplicate"
    STOPPED = "stopped"
    GAP = "gap"
    FENCED = "fenced"
    GONE = "gone"
    SETTLED = "settled"
    ALREADY = "already"
    QUEUED = "queued"
    HAS_OUTPUT = "has_output"
    SPENT = "spent"
    ENDED = "ended"


class Outcome(msgspec.Struct, frozen=True):
    """A tagged reply with what it carries."""

    tag: Written
    # Length of the log: the next sequence number.
    length: int | None = None
    stop: Stop | None = None
    # The response of the same lane whose turn it is now.
    next_of_lane: ResponseId | None = None


class StopOutcome(StrEnum):
    """What a stop found."""

    RECORDED = "recorded"
    ALREADY_ENDED = "already_ended"
    UNKNOWN = "unknown"


class StopReceipt(msgspec.Struct, frozen=True):
    """How far a stop got. Times are Unix seconds on Redis' clock (acked and closed: on the worker's), or None."""

    response_id: ResponseId
    outcome: StopOutcome
    recorded: float | None = None
    # When enough replicas had it; False if they did not say so in time; None where there are no replicas.
    replicated: float | Literal[False] | None = None
    acked: float | None = None
    upstream_closed: float | None = None
    settled: float | None = None
    status: Status | None = None
    next_of_lane: ResponseId | None = None
    # Told by the stop that recorded.
    whose: Whose | None = None


class Fate(msgspec.Struct, frozen=True):
    """How far a stop got, and whose job it is about."""

    receipt: StopReceipt
    tenant: str
    subject: str


class JobView(msgspec.Struct, frozen=True):
    """What the job hash says: read by gateways, rescuers and the sweep."""

    response_id: ResponseId
    state: str
    generation: int
    owner: WorkerId
    tenant: str
    subject: str
    session: SessionName
    lane: str
    abandon_s: float
    envelope: bytes
    base: bytes
    record: bytes
    request: bytes | None
    queued_at: float | None
    # Unix seconds, Redis' clock; None: no deadline.
    deadline_at: float | None
    stop: Stop | None
    acked_at: float | None
    upstream_closed_at: float | None
    settled_at: float | None
    status: Status | None
    # The sequence number of the terminal event, once ended.
    last: int | None
    trace: TraceContext = NO_TRACE

    @property
    def whose(self) -> Whose:
        """Tell whose it is."""
        return Whose(self.session, self.tenant, self.subject, self.trace)

    def is_owned_by(self, principal: Principal) -> bool:
        """Tell whether this principal made the session."""
        return (self.tenant, self.subject) == (principal.tenant, principal.subject)

    def is_open_to(self, principal: Principal) -> bool:
        """Tell whether this principal may see, resume and stop it: its owner, or an operator of its tenant."""
        return self.is_owned_by(principal) or administers(principal, self.tenant)


def parse_stop(mark: bytes) -> Stop:
    """Read a mark as the scripts wrote it."""
    return msgspec.json.decode(mark, type=Stop)


def time_of(value: bytes | None) -> float | None:
    """Read a time as the scripts write it; None where there is none."""
    return float(value) if value else None


def id_of(value: bytes) -> ResponseId | None:
    """Read a response id; None where the script gave none."""
    return ResponseId(value.decode()) if value else None


def whose_of(fields: list[bytes]) -> Whose:
    """Read session, tenant, subject and trace context as the scripts write them."""
    session, tenant, subject, trace = (field.decode() for field in fields)
    return Whose(SessionName(session), tenant, subject, TraceContext(trace))


def tag_as(kind: type[_E], reply: list[bytes]) -> _E:
    """Read the tag of a reply. Raises ContractError for one that is not of this kind."""
    try:
        return kind(reply[0].decode())
    except (ValueError, IndexError, AttributeError) as error:
        raise ContractError(f"a script answered {reply!r}, which is no {kind.__name__}") from error


def outcome_of(reply: list[bytes] | int) -> Outcome:
    """Read a tagged reply with what it carries; an append that logged says no more than the log's length."""
    if isinstance(reply, int):
        return Outcome(Written.OK, length=reply)
    tag = tag_as(Written, reply)
    match tag:
        case Written.DUPLICATE | Written.GAP | Written.HAS_OUTPUT:
            return Outcome(tag, length=int(reply[1]))
        case Written.STOPPED if len(reply) > 2:  # noqa: PLR2004  tag, length, mark
            return Outcome(tag, length=int(reply[1]), stop=parse_stop(reply[2]))
        case Written.STOPPED if reply[1][:1] == b"{":
            return Outcome(tag, stop=parse_stop(reply[1]))
        case Written.STOPPED | Written.SETTLED:
            return Outcome(tag, next_of_lane=id_of(reply[1]))
        case _:
            return Outcome(tag)
