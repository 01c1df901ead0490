"""A process that ends with the one that has started it, however that ends. Free of torch."""

from __future__ import annotations

import ctypes
import os
import sys


def end_with(parent: int, request: int) -> None:
    """Let this process get a signal, `request`, when its parent, of the id `parent`, ends or has ended.

    The kernel of Linux tells of a death from now on; elsewhere this process is told only of one before.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, request)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os.kill(os.getpid(), request)
