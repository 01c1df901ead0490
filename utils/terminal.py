"""The terminal that everything is shown on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from secateur.utils.text import printable_lines


class Terminal(Console):
    """A rich console; where the output is no terminal but a file or a pipe, it is `width` columns wide.

    Text is shown as it is: [brackets] and :colons: are no markup, and what the terminal would obey is escaped.
    """

    def __init__(self, width: int) -> None:
        super().__init__(markup=False, emoji=False)
        if not self.is_terminal:
            self.width = width

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn text into what is shown."""
        return super().render_str(text if text.isprintable() else printable_lines(text), **options)

    def on_broken_pipe(self) -> NoReturn:
        """Let main.py answer, instead of ending the program with status 1."""
        raise BrokenPipeError


def width_of_terminal(otherwise: int) -> int:
    """The columns of the terminal that somebody sits at, also where the output goes through a pipe (`| less`)."""
    with contextlib.suppress(KeyError, ValueError):
        return max(int(os.environ["COLUMNS"]), 20)
    for stream in (1, 2, 0):
        with contextlib.suppress(OSError):
            return os.get_terminal_size(stream).columns or otherwise
    return otherwise


def first_that_fits(lines: Sequence[str], width: int) -> str:
    """The first line that is no wider; the last where all are."""
    return next((line for line in lines if len(line) <= width), lines[-1])


def those_that_fit(parts: Sequence[str], width: int, between: str = " · ") -> str:
    """As many of the parts, the first ones, as a line of this width has room for."""
    shown = ""
    for part in parts:
        longer = f"{shown}{between}{part}" if shown else part
        if len(longer) > width:
            break
        shown = longer
    return shown


class TimeColumn(ProgressColumn):
    """The time that is left; until it is known, and where it never is, the time that has gone by."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """As 2:05 left, or 0:03 so far."""
        left = task.time_remaining
        seconds, what = (task.elapsed or 0, "so far") if left is None else (left, "left")
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        time = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return Text(f"{time} {what}", style="progress.remaining")


@contextlib.contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
    """Show how far a piece of work has come, where the output is a terminal.

    Yields `advance(done, what)`: so many more of the `total` are done, and `what` is being worked on.
    """
    terminal = Terminal(width=120)
    # Bar, time and gaps take 28 columns.
    room = max(terminal.width - len(unit) - 2 * len(str(total)) - 28, 1)
    alone = Column(no_wrap=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(table_column=alone),
        TextColumn(unit),
        TimeColumn(table_column=alone),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total)

        def advance(done: int, what: str) -> None:
            short = what if len(what) <= room else f"{what[: room - 1]}…"
            progress.update(task, advance=done, description=short)

        yield advance
