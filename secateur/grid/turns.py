"""Two commands of one grid at once: the second waits for the first. Free of torch."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

from secateur.runs.log import lock
from secateur.utils.errors import UserError
from secateur.utils.text import printable


@contextlib.contextmanager
def own_turn(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Have the folder of a grid alone, made where it is not there; while another process has it, say so and wait.

    The system gives the lock back however a process ends. Raises `UserError` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "grid.lock").open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise cannot_be_kept(folder, error) from error
    with file:
        if not lock(file):
            file.seek(0)
            say(f"{folder} is run by {printable(file.read(200)) or 'another process'}: waiting for that to end")
            lock(file, wait=True)
        with contextlib.suppress(OSError):  # a disk that is full: it has the lock all the same
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        yield


def cannot_be_kept(folder: Path, error: OSError) -> UserError:
    """Return the line that says why a grid's folder cannot be written."""
    return UserError(f"--results_dir {folder.parent}: no grid can be kept there: {error.strerror}")
