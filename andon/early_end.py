"""Early end: what SIGTERM means to a server process before its drain can hear it.

Owns the handler between the first line of a server command and the drain's own handlers. It is there for containers:
the kernel withholds from process 1 every signal that it does not handle, so a SIGTERM during the imports and the first
connection to Redis would be lost, and the container be killed only after its whole grace period.
"""

import signal
import sys
from types import FrameType


def end_on_sigterm() -> None:
    """End with exit code 0 at a SIGTERM: nothing was taken on yet, so there is nothing to drain.

    Call it first; whoever has something to drain installs its own handler over this one.
    """
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
