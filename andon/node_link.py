"""Node link: the link to one node of a cluster.

Owns what a cluster adds to a `Link`: `ASKING` before a command whose keys are on their way, and the handing over of
what a node refuses or was never sent. Does not own where a command goes (`Cluster`).
"""

import asyncio
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from andon.connection import OpenConnection
from andon.link import Call, Link


class NodeLink(Link):
    """Commands to one node. `on_refused` tells whether it has seen to a command that did not run."""

    def __init__(
        self,
        open_connection: OpenConnection,
        *,
        timeout_s: float,
        greet: Callable[[AbstractConnection], Awaitable[None]],
        on_refused: Callable[[Call, ResponseError], bool],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(open_connection, timeout_s=timeout_s, greet=greet)
        self._on_refused = on_refused
        self._on_lost = on_lost

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits here."""
        return not self._unsent and not self._in_flight

    def take_unsent(self) -> list[Call]:
        """Give up what was not sent and may go elsewhere, in its order."""
        calls = [call for call in self._unsent if not call.is_bound]
        bound = [call for call in self._unsent if call.is_bound]
        self._unsent.clear()
        self._unsent.extend(bound)
        return calls

    def _departing(self) -> list[Call]:
        calls = []
        for call in super()._departing():
            if call.is_asking:
                call.is_asking = False
                # For the next command on this connection alone, so they leave together or not at all.
                calls.append(Call(("ASKING",), asyncio.get_running_loop().create_future(), call.deadline))
            calls.append(call)
        return calls

    def _refused(self, call: Call, error: ResponseError) -> None:
        if call.is_bound or not self._on_refused(call, error):
            super()._refused(call, error)

    def _lost(self) -> None:
        super()._lost()
        self._on_lost()
