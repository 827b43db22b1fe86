"""Dispatcher: the commands of one socket, each in its turn.

Owns those that wait, the bound on them, and the one task that has them done, there only while there are some. Does not
own what a command does (`gateway.commands`), nor how a refusal is told.

Guarantees: commands are done one after another, in the order in which they came; where none waits before it, a
cancel has its stop sent within the call that brings it, and a create its submit where that takes no more; of what waits
when the client leaves, its cancels are carried out.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from andon.errors import OverloadedError, RequestError, RetryLaterError
from andon.lifetime import Spawned
from andon.protocol import Cancel, Create, Retrieve
from gateway.commands import BegunCreate, Commands
from gateway.stops import Begun

# A burst of commands: creates and retrieves over the first bound are refused, cancels only over the second.
_MOST_COMMANDS: Final = 1024
_MOST_COMMANDS_WITH_CANCELS: Final = 2048


class Dispatcher:
    """One socket's. `take` its commands; `leave` when it is gone."""

    # Made by a socket's first command, and kept: small, for most sockets have had one.
    __slots__ = ("_commands", "_has_lapsed", "_is_running", "_on_done", "_spawn", "_waiting", "in_hand")

    def __init__(
        self,
        commands: Commands,
        *,
        spawn: Spawned,
        on_done: Callable[[Create | Cancel | Retrieve, RequestError | RetryLaterError | None], None],
    ) -> None:
        self._commands = commands
        self._spawn = spawn
        # Told of each command that is over, and of the error that is its answer, if it was refused.
        self._on_done = on_done
        # Commands in their order, and what was begun of them; None while there are none. Bounded as above.
        self._waiting: deque[tuple[Create | Cancel | Retrieve, Begun | BegunCreate | None]] | None = None
        # The task is there, or comes with the answer to what was begun.
        self._is_running = False
        # What the client may do is over: only what was begun before is seen to its end.
        self._has_lapsed = False
        # Commands that were taken and are not done.
        self.in_hand = 0

    def take(self, command: Create | Cancel | Retrieve) -> None:
        """Have a command done in its turn, or refuse it at once."""
        bound = _MOST_COMMANDS_WITH_CANCELS if isinstance(command, Cancel) else _MOST_COMMANDS
        if self._waiting is not None and len(self._waiting) >= bound:
            message = f"{bound} commands wait on this socket. Send the command again when some are answered."
            self._on_done(command, OverloadedError("rate_limit_exceeded", message))
            return
        self.in_hand += 1
        # Where nothing waits before it, its stop, or its submit, leaves within this very call.
        begun = None if self._is_running else self._begin(command)
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((command, begun))
        if self._is_running:
            return
        self._is_running = True
        if begun is None:
            self._spawn(self._run())
        else:
            # Nothing is left to do until it is answered.
            begun.reply.add_done_callback(self._go_on)

    def _begin(self, command: Create | Cancel | Retrieve) -> Begun | BegunCreate | None:
        """Send what may be sent of a command within this call; None: all of it is done in its turn."""
        match command:
            case Cancel():
                return self._commands.begin(command)
            case Create():
                return self._commands.begin_create(command)
            case _:
                return None

    def lapse(self) -> None:
        """Do nothing more that was not begun before."""
        self._has_lapsed = True

    def leave(self) -> None:
        """Let all go that waits, but its cancels. The owner of the tasks ends the one that runs."""
        # One that has not come to its first step never will.
        waiting, self._waiting = self._waiting, None
        for command, begun in waiting or ():
            if not isinstance(command, Cancel) or isinstance(begun, BegunCreate):
                continue
            if begun is not None or not self._has_lapsed:
                self._commands.leave(command, begun)

    def _go_on(self, _: object) -> None:
        """Begin to dispatch, unless the client is gone: whatever waits then was let go."""
        if self._waiting:
            self._spawn(self._run())

    async def _run(self) -> None:
        while self._waiting:
            command, begun = self._waiting.popleft()
            refusal = None
            try:
                if begun is not None or not self._has_lapsed:
                    await self._commands.obey(command, begun)
            except (RequestError, RetryLaterError) as error:
                refusal = error
            finally:
                self.in_hand -= 1
            self._on_done(command, refusal)
        self._is_running = False
        self._waiting = None
