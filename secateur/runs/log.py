"""The log of a run, and the lock that says that it is running."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from secateur.utils.text import printable_lines


def escape_commands(record: logging.LogRecord) -> bool:
    """Be a handler's filter that lets every line through, what a terminal would obey in it escaped, as in names."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg, record.args = printable_lines(message), ()
    return True


class StreamLog(logging.StreamHandler):
    """Writes lines to a stream; those that a full disk does not take are in log.txt too."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Raise what a closed pipe raised: it ends the run."""
        error = sys.exc_info()[1]
        if isinstance(error, BrokenPipeError):
            raise error
        if not isinstance(error, OSError):
            super().handleError(record)


class FileLog(logging.handlers.WatchedFileHandler):
    """Writes lines to a file; where that cannot be written, `told` is called with the error, and the run goes on.

    What was not written stands in the file's buffer, and is tried again with the next line. A file that has vanished,
    as with its folder, is begun anew.
    """

    told: Callable[[OSError], None] | None = None
    #: Whether the file's lock was to be had, which says whose the run is.
    locked = False

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.addFilter(escape_commands)
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def _open(self) -> TextIO:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        file = super()._open()
        self.locked = lock(file)
        return file

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, to a new file where the last one is gone."""
        try:
            super().emit(record)
        except OSError:  # of opening it
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Pass an error of the disk on."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            if self.told:
                self.told(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file, whether its last lines can be written or not: that they cannot has been told."""
        with contextlib.suppress(OSError):
            super().close()


try:
    import fcntl
except ImportError:  # a system without it, as Windows
    fcntl = None


def lock(file: TextIO, *, wait: bool = False) -> bool:
    """Take the lock of an open file, which the system gives back when this process ends, however it does.

    Returns False where another process has it; or waits for it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system that has no locks
    return True


def is_locked(path: Path) -> bool:
    """Whether another process has the lock of a file, which need not be writable."""
    if fcntl is None or not path.is_file():  # a pipe would wait for a writer
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
    return False
