"""What a person sees of a grid: its runs in a table, and a line for each that has ended."""

from __future__ import annotations

import statistics
import time
from functools import partial
from types import TracebackType
from typing import Any

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from secateur.grid.index import DONE, FAILED, INTERRUPTED, TO_RUN, Index
from secateur.grid.trials import Grid, argv_of
from secateur.utils.terminal import Terminal, first_that_fits

#: Of a longer table the first and the last rows are shown.
FIRST_ROWS, LAST_ROWS = 20, 5
#: What is said of the few runs that `--smoke` makes.
SMOKE = (
    "smoke: tiny runs, chosen so that every value is in one of them, of numbers the smallest and largest; of {} runs"
)


def show_plan(grid: Grid, index: Index, jobs: int) -> None:
    """Show the runs, which of them are done, and about how long the rest will take."""
    terminal = Terminal(width=120)
    left = len(grid.trials) - len(index.in_state(DONE))
    varying = grid.varying
    table = RichTable(box=box.SIMPLE_HEAD)
    for column in [*varying, "status", "test accuracy", "seconds"]:
        table.add_column(column, justify="right" if column in ("test accuracy", "seconds") else "left")
    rows = list(index.rows.values())
    shortened = len(rows) > FIRST_ROWS + LAST_ROWS
    for row in rows[:FIRST_ROWS] if shortened else rows:
        table.add_row(*_cells(row, varying))
    if shortened:
        table.add_row(f"... {len(rows) - FIRST_ROWS - LAST_ROWS} more", *[""] * (len(table.columns) - 1))
        for row in rows[-LAST_ROWS:]:
            table.add_row(*_cells(row, varying))
    terminal.print(table)
    say = partial(terminal.print, soft_wrap=True, highlight=False)
    say(f"every run: {' '.join(argv_of(grid.common)) or 'no other flags'}")
    for flag, count in grid.partial.items():
        say(f"--{flag} applies to the {count} of {len(rows)} runs whose components have it")
    say(f"grid folder: {grid.folder}")
    if grid.smoke_of:
        say(SMOKE.format(grid.smoke_of))
    seconds = [row["seconds"] for row in rows if row["status"] == DONE and row["seconds"] is not None]
    if left and seconds:
        each = statistics.mean(seconds)
        time_left = f", about {duration(each * left / jobs)} ({each:.1f} s a run, {jobs} at a time)"
    else:
        time_left = "; how long that takes is known once one of them has finished" if left else ""
    say(f"{counted(len(rows))}: {how_far(index)}{time_left}")


class GridProgress:
    """A line for each run that has ended, and below them a live bar where there is a terminal."""

    def __init__(self, grid: Grid, runs: int, jobs: int) -> None:
        self.grid, self.runs, self.jobs = grid, runs, jobs
        self.ended, self.started = 0, time.perf_counter()
        self.terminal = Terminal(width=120)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.terminal,
            transient=True,
            disable=not self.terminal.is_terminal,
        )
        self.task = self.bar.add_task(grid.folder.name, total=runs, left="")

    def __enter__(self) -> GridProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """A line of its own."""
        self.terminal.print(line, soft_wrap=True, highlight=False)

    def ran(self, row: dict[str, Any]) -> None:
        """Tell of a run that has ended, by its row of the index."""
        self.ended += 1
        rest = self.runs - self.ended
        left = f"{duration((time.perf_counter() - self.started) / self.ended * rest)} left" if rest else ""
        what = ", ".join(self._shown(row)) or row["run"]
        if row["status"] == FAILED:
            result = f"FAILED: {row['error']}"
        else:
            parts = [
                f"{name} accuracy {row[f'{name}_accuracy']:.2%}"
                for name in ("test", "validation")
                if row[f"{name}_accuracy"] is not None
            ]
            parts += [f"{row['seconds']:.1f} s"] if row["seconds"] is not None else []
            result = ", ".join(parts)
        number = f"{self.ended:>{len(str(self.runs))}} of {self.runs}"
        short = f"{number} · {what} · {result}"
        line = f"{short} · {left}" if left else short
        if self.terminal.is_terminal:  # where the bar says how long is left
            values = ", ".join(str(row[flag]) for flag in self.grid.varying if row.get(flag) is not None)
            line = first_that_fits([line, short, f"{number} · {values} · {result}"], self.terminal.width)
        self.say(line)
        self.bar.update(self.task, completed=self.ended, left=left)

    def _shown(self, row: dict[str, Any]) -> list[str]:
        trial = next(trial for trial in self.grid.trials if trial.label == row["run"])
        return [value if flag == value else f"{flag} {value}" for flag, value in trial.shown().items()]


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cells(row: dict[str, Any], varying: list[str]) -> list[str]:
    status = f"{row['status']}: {row['error']}" if row["error"] else row["status"]
    accuracy = row["test_accuracy"] if row["test_accuracy"] is not None else row["validation_accuracy"]
    return [
        *["" if row[flag] is None else str(row[flag]) for flag in varying],
        status,
        "" if accuracy is None else f"{accuracy:.2%}",
        "" if row["seconds"] is None else f"{row['seconds']:.1f}",
    ]


def how_far(index: Index) -> str:
    """`1 done, 2 to run (1 of them interrupted)`."""
    stopped = len(index.in_state(INTERRUPTED))
    of_them = f" ({stopped} of them interrupted)" if stopped else ""
    return f"{len(index.in_state(DONE))} done, {len(index.in_state(*TO_RUN))} to run{of_them}"


def counted(runs: int) -> str:
    """`1 run`, `2 runs`."""
    return "1 run" if runs == 1 else f"{runs} runs"
