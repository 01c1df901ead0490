"""Handlers for the log of a run: logging's own print a traceback where a line cannot be written, and go on."""

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path


class StreamLog(logging.StreamHandler):
    """Writes lines to a stream; those that a full disk does not take are in log.txt too."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Raise what a closed pipe raised: it ends the run."""
        error = sys.exc_info()[1]
        if isinstance(error, BrokenPipeError):
            raise error
        if not isinstance(error, OSError):
            super().handleError(record)


class FileLog(logging.FileHandler):
    """Writes lines to a file; where that cannot be written, `told` is called with the error, and the run goes on.

    What was not written stands in the file's buffer, and is tried again with the next line.
    """

    told: Callable[[OSError], None] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

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
