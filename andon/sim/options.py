"""The sim's options: what a request gets that does not say otherwise.

Owns the defaults of one server. Does not own the per-request overrides (`andon.sim.ask`) nor the faults
(`andon.sim.faults`).
"""

from typing import Annotated

import msgspec

NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class SimOptions(msgspec.Struct, frozen=True):
    """How a sim behaves by default; `metadata` of a request may override each (see `andon.sim.ask`)."""

    # Tokens a second a stream; 0 is as fast as the socket takes them. 50 reads like a hosted model.
    rate: NonNegative = 50.0
    # Seconds from the request to its first token.
    ttft_s: NonNegative = 0.2
    # The natural length of an answer, in tokens. About a page: long enough to be stopped by hand.
    tokens: Annotated[int, msgspec.Meta(ge=0)] = 431
    # Mixed with the prompt, it decides the text: another seed, other words for the same prompt.
    seed: int = 0
