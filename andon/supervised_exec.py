"""The shim between a parent and its child: ask the kernel to end the child with the parent, then become the child.

Owns the one prctl and the check that closes its race. Does not own the process: after `execv` this program is gone
and its process id is the child's. It is run as a file, `python -I -S supervised_exec.py PARENT_PID PROGRAM ARG...`,
so it imports nothing but the standard library.

A shim, and not `preexec_fn`: code between fork and exec runs in a copy of a process whose other threads vanished
with their locks held, and may hang for ever. Here exec has already made a clean process.

Linux only; see `andon.supervised` for who calls it and for the other platforms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across execve of a program without set-uid or capabilities


def main() -> None:
    """Tie this process to the parent's life and exec the program.

    The signal is SIGKILL: a child that is stopped (SIGSTOP) or busy draining would outlive a milder one.
    """
    parent_pid, *argv = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have died before the prctl; then no signal will ever come, and this process was re-parented.
    if os.getppid() != int(parent_pid):
        sys.exit(1)
    # Python ignores SIGPIPE and SIGXFSZ, and exec passes an ignored signal on.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
