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
        raise UserError(f"--results_dir {folder.parent}: no grid can be kept there: {error.strerror}") from error
    with file:
        if not lock(file):
            file.seek(0)
            say(f"{folder} is run by {printable(file.read(200)) or 'another process'}: waiting for that to end")
            lock(file, wait=True)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
