"""A run belongs to one process at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # a system without it, as Windows
    fcntl = None


def lock(file: TextIO) -> bool:
    """Take the lock of an open file, which the system gives back when this process ends, however it does.

    Returns False where another process has it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system that has no locks
    return True


def is_locked(path: Path) -> bool:
    """Whether another process has the lock of a file."""
    with contextlib.suppress(OSError), path.open("r+") as file:
        return not lock(file)
    return False
