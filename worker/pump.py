"""Pump: reads the model and hands its pieces to the scribe.

Owns the upstream stream of one run: opening it, trying again before its first event, and closing it. Does not own
why it is closed, or anything that is written.

Guarantees: `stop` closes the HTTP connection to the model within milliseconds, at any moment: before the connection
stands, before the headers, between two chunks, in a back-off. On CPython 3.11 one cancel alone can be lost (it lands
as an inner task finishes), so three things say the same: a flag that is looked at before each chunk, one cancel, and
a close from outside if the task is not done within 50 ms. Where the flag comes with a closed socket (`cut`), the other
two may come a little later.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from andon.pieces import Cause, Failure, Finish, Piece
from andon.telemetry import SILENT
from andon.tracing import NO_TRACE
from worker.run_trace import ModelCall
from worker.upstream.errors import UpstreamError
from worker.upstream.source import PieceStream, Source

_log = structlog.get_logger(__name__)

_FORCE_CLOSE_AFTER_S: Final = 0.05
_BACKOFF_FIRST_S: Final = 0.25
_BACKOFF_MOST_S: Final = 8.0
# A server's wish that is longer than this is no wish to be asked again within this request.
_RETRY_AFTER_MOST_S: Final = 30.0
_UNANSWERED: Final = frozenset({Cause.UPSTREAM_TIMEOUT, Cause.UPSTREAM_CUT, Cause.UPSTREAM_GARBAGE})
_CRASHED: Final = Failure(
    "server_error", Cause.INTERNAL, "The worker failed while it read the model. Create the response again."
)


class Pump:
    """The upstream side of one run. `start` once, `stop` any number of times, then `closed`."""

    def __init__(
        self,
        source: Source,
        *,
        retries: int,
        on_pieces: Callable[[list[Piece]], None],
        on_end: Callable[[], None],
        on_failure: Callable[[Cause], None] = SILENT.upstream_failed,
        call: ModelCall | None = None,
    ) -> None:
        self._source = source
        self._request: dict[str, Any] = {}
        self._retries = retries
        self._on_pieces = on_pieces
        self._on_end = on_end
        # Told of each request that failed, of those too that are tried again.
        self._on_failure = on_failure
        self._call = call or ModelCall(NO_TRACE)
        self._task: asyncio.Task[None] | None = None
        # Set as soon as there is one to cut: under a load, its first pieces are with the client while `open` still
        # waits for its turn.
        self._stream: PieceStream | None = None
        # The flag that a lost cancel does not lose.
        self._stopping = False
        # Whether a finish was handed on.
        self._finished = False
        # What came after the stop, and went nowhere.
        self.dropped: list[Piece] = []
        # Whether a request was ever sent, or at least begun: it may have cost something.
        self.opened = False
        # Unix seconds at which the upstream was seen closed; None too where it was left behind.
        self.closed_at: float | None = None
        self._force: asyncio.TimerHandle | None = None
        self._forced: asyncio.Task[None] | None = None

    def start(self, request: dict[str, Any]) -> None:
        """Begin to read, unless it was stopped before. The task is this pump's own; `closed` awaits its end."""
        if self._stopping:
            return
        self._request = request
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Close the upstream now. Does not wait, does not fail, may be repeated."""
        self.cut()
        if self._force is None and self._task is not None and not self._task.done():
            self._force = asyncio.get_running_loop().call_later(_FORCE_CLOSE_AFTER_S, self._force_close)
            self._task.cancel()

    def cut(self) -> bool:
        """Do of `stop` what closes an open stream, in this call; the rest is to follow. May be repeated.

        Return whether the upstream is closed by now, so that the rest is in no hurry.
        """
        if self._stopping:
            return False
        self._stopping = True
        # Before anything else: the cancel takes turns of the event loop to get there.
        if self._stream is None or not self._stream.cut():
            return False
        self.closed_at = time.time()
        return True

    async def closed(self, timeout_s: float | None = None) -> bool:
        """Wait until the upstream is closed; False if the time-out came first. Safe to cancel."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait([self._task], timeout=timeout_s)
        return bool(done)

    @property
    def usage_so_far(self) -> dict[str, Any] | None:
        """Return the running usage, where the upstream tells it."""
        return self._stream.usage_so_far if self._stream is not None else None

    def _force_close(self) -> None:
        """Close from outside: the cancel was lost, or the reader does not come back from its close."""
        if self._task is not None and not self._task.done():
            _log.warning("pump.forced_close")
            self._forced = asyncio.get_running_loop().create_task(self._close_stream())

    async def _close_stream(self) -> None:
        if self._stream is not None:
            await self._stream.close()
        if self._task is not None and not self._task.done():
            # No stream yet, or a reader that waits for something else: the second cancel is the last resort.
            self._task.cancel()

    async def _run(self) -> None:
        try:
            with self._call.made(self._request):
                await self._read_with_retries()
        except Exception:  # noqa: BLE001  the task's outermost boundary: a source of one's own may raise anything
            _log.exception("pump.crashed")
            self._hand_on([Finish("failed", {}, None, failure=_CRASHED)])
        finally:
            if self._force is not None:
                self._force.cancel()
            if self.closed_at is None and self.opened and not (self._stream is not None and self._stream.left_behind):
                self.closed_at = time.time()
            if not self._stopping:
                # A reader that ends by itself without a finish would leave the scribe waiting for ever.
                self._hand_on([Finish("failed", {}, None, failure=_CRASHED)])
            self._on_end()

    def _hand_on(self, pieces: list[Piece]) -> bool:
        """Hand pieces to the scribe; after a finish nothing more, nor after a stop. Return whether more are wanted."""
        if self._stopping:
            self.dropped = pieces
        elif not self._finished:
            last = pieces[-1]
            self._finished = isinstance(last, Finish)
            if isinstance(last, Finish) and last.failure is not None:
                self._on_failure(last.failure.cause)
            self._on_pieces(pieces)
        return not self._finished and not self._stopping

    async def _read_with_retries(self) -> None:
        attempt = 0
        while not self._stopping:
            try:
                await self._read()
            except UpstreamError as error:
                if self._is_stopping():
                    return
                self._stream = None  # it may have begun, and is of no use to a stop of the next
                if not error.retryable or attempt >= self._retries:
                    # A request that was refused before its first event costs nothing, and the upstream said so; what
                    # it made of one whose answer never came is not known.
                    usage: dict[str, Any] | None = None if error.failure.cause in _UNANSWERED else {}
                    self._hand_on([Finish("failed", {}, usage, failure=error.failure)])
                    return
                delay_s = _delay_s(attempt, error.retry_after_s)
                self._on_failure(error.failure.cause)
                _log.info("upstream.retry", cause=error.failure.cause, attempt=attempt, delay_s=round(delay_s, 3))
                await asyncio.sleep(delay_s)
                attempt += 1
            else:
                return

    def _is_stopping(self) -> bool:
        """Look at the flag: others set it while this task waits."""
        return self._stopping

    async def _read(self) -> None:
        """Read one stream to its end.

        Raises UpstreamError only while nothing has been handed on: `open` waits for the first event, which may be
        handed on meanwhile, and what fails later comes as a `Finish`.
        """
        self.opened = True
        self._call.tried()
        async with self._source.open(self._request, self._hand_on, self._begun) as stream:
            self._call.answered()
            self._stream = stream
            if not self._stopping:
                await stream.pour(self._hand_on)

    def _begun(self, stream: PieceStream) -> None:
        self._stream = stream


def _delay_s(attempt: int, retry_after_s: float | None) -> float:
    """Return how long to wait: the server's wish where it has one, else exponential with full jitter."""
    if retry_after_s is not None:
        return min(retry_after_s, _RETRY_AFTER_MOST_S)
    most_s: float = min(_BACKOFF_FIRST_S * 2**attempt, _BACKOFF_MOST_S)
    return random.uniform(0.5, 1.0) * most_s  # noqa: S311  no secret
