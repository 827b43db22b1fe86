"""Record: what the model server noted of one request. Times are microseconds of CLOCK_MONOTONIC."""

from bisect import bisect_right

import msgspec


class Record(msgspec.Struct, gc=False):
    """One request."""

    # When its last byte was read.
    asked_us: int
    # When its connection was seen closed before its end; None: it was not.
    closed_us: int | None = None
    # When its ending was written.
    finished_us: int | None = None
    # When each token was written.
    tokens_us: list[int] = msgspec.field(default_factory=list)

    def seen(self, after_us: int) -> "Seen":
        """Sum it up for whoever asks, with the tokens written later than `after_us`."""
        return Seen(
            asked_us=self.asked_us,
            closed_us=self.closed_us,
            finished_us=self.finished_us,
            first_us=self.tokens_us[0] if self.tokens_us else None,
            tokens=len(self.tokens_us),
            tokens_after=len(self.tokens_us) - bisect_right(self.tokens_us, after_us),
        )


class Seen(msgspec.Struct, frozen=True):
    """A record, summed up."""

    asked_us: int
    closed_us: int | None
    finished_us: int | None
    first_us: int | None
    tokens: int
    tokens_after: int


class Totals(msgspec.Struct, frozen=True):
    """All requests together."""

    # Answers that are being written.
    open: int
    # Since the start.
    requests: int
    tokens: int
    # Tokens written more than 5 ms after they were due: the server, or its reader, did not keep up.
    late: int
