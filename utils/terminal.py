"""The terminal that everything is shown on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Terminal(Console):
    """A rich console; where the output is no terminal but a file or a pipe, it is `width` columns wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if not self.is_terminal:
            self.width = width

    def on_broken_pipe(self) -> NoReturn:
        """Let main.py answer, instead of ending the program with status 1."""
        raise BrokenPipeError


@contextlib.contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    """Show how far a piece of work has come, where the output is a terminal.

    Yields `advance(done, what)`: so many more of the `total` are done, and `what` is being worked on.
    """
    terminal = Terminal(width=120)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda done, what: progress.update(task, advance=done, description=what)
