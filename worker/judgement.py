"""Judgement: the verdict of one run, for as long as it may change, and how long it insists on an answer of Redis.

Owns which verdict overrules which, and the repeats of a script while Redis is away. Does not own what a verdict sets in
motion. Guarantees: the first verdict stays, except that a mark overrules all but a loss, and a loss all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from andon.errors import StoreUnavailable
from worker.verdict import Abandoned, Loss, Stopped, Verdict

_T = TypeVar("_T")

_RETRY_FIRST_S: Final = 0.02
_RETRY_MOST_S: Final = 0.5


class Judgement:
    """Why one run ends. `log`: bound to it."""

    __slots__ = ("_log", "verdict")

    def __init__(self, log: Any) -> None:
        self._log = log
        # None while the run goes on.
        self.verdict: Verdict | None = None

    @property
    def loss(self) -> Loss | None:
        """Tell why the job is no longer this worker's to write, if it is not."""
        return self.verdict.loss if isinstance(self.verdict, Abandoned) else None

    def rule(self, verdict: Verdict) -> None:
        """Give a verdict."""
        old = self.verdict
        overrules = isinstance(verdict, Abandoned) or (isinstance(verdict, Stopped) and not isinstance(old, Stopped))
        if old is None or (overrules and not isinstance(old, Abandoned)):
            self.verdict = verdict

    async def insist(self, call: Callable[[], Awaitable[_T]], *, past_verdict: bool = False) -> _T | None:
        """Repeat a script while Redis is away; every script answers a repeat without changing anything.

        Returns None once a verdict makes the answer unneeded: any verdict, or with `past_verdict` only a loss.
        """
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                self._log.warning("store.away", error=str(error))
            if self.loss is not None or (self.verdict is not None and not past_verdict):
                return None
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MOST_S)
