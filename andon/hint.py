"""Hint: the message on a worker's stop channel.

Owns its form: `R generation mark`, the mark as JSON. A hint may be lost, late or about a generation that is over; the
mark in the job hash is the truth, and a worker that does not recognise a hint reads it anew.
"""

import msgspec

from andon.errors import ContractError
from andon.ids import ResponseId
from andon.replies import parse_stop
from andon.response import Stop


class Hint(msgspec.Struct, frozen=True):
    """A stop of one job, as published to the worker that owned it then."""

    response_id: ResponseId
    generation: int
    stop: Stop


def parse_hint(message: bytes) -> Hint:
    """Read a published stop; raises ContractError for anything else."""
    try:
        response_id, generation, mark = message.split(b" ", 2)
        return Hint(ResponseId(response_id.decode()), int(generation), parse_stop(mark))
    except (ValueError, msgspec.MsgspecError) as error:
        raise ContractError(f"a foreign message on a stop channel: {message[:80]!r}") from error
