"""Handlers for the log of a run: logging's own print a traceback where a line cannot be written, and go on."""

import logging
import sys


class _Raising(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Raise what a full disk or a closed pipe raised: it ends the run."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise error
        super().handleError(record)


class StreamLog(_Raising, logging.StreamHandler):
    """Writes lines to a stream."""


class FileLog(_Raising, logging.FileHandler):
    """Writes lines to a file."""
