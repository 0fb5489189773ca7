"""Die when the parent dies: the kernel sends SIGKILL, so nothing has to be noticed by polling.

A process that calls `die_with_parent` cannot outlive its parent, and since every level calls it,
killing the uppermost one with SIGKILL takes the whole tree with it. SIGKILL and not SIGTERM: a
process without a parent has nobody left who would enforce the end, and every role is built so that
a stop is a crash with manners.

The kernel's signal belongs to the parent *thread*: start children from a thread that lives as long
as the process. Linux only; elsewhere the call is refused.
"""

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "OPENTRAIL_PARENT"
"""The parent's process id, set by whoever starts a child; how the child knows it came too late."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def ask_to_die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent; for between fork and exec.

    Does nothing but one system call: other threads of the parent may have held any lock at the
    fork. Whether the parent was alive by then is for `die_with_parent` to find out.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def die_with_parent(parent: int | None = None) -> None:
    """End this process as soon as process `parent` (default: from the environment) ends.

    Without a parent to name nothing is done: somebody started this by hand.
    """
    if parent is None:
        text = os.environ.get(PARENT_VARIABLE, "")
        if not text.isdigit():
            return
        parent = int(text)
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    # The parent may have died before the kernel was asked: then nobody would send the signal.
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, has ended; ending too")
