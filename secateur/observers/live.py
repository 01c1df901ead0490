"""What a terminal shows of a run while it goes: bars of training and of pruning, and lines that fit."""

from __future__ import annotations

from collections.abc import Sequence
from logging import LogRecord

from rich.console import ConsoleRenderable
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from secateur.utils.terminal import Terminal, TimeColumn, first_that_fits, those_that_fit

#: Columns of a live line beside its description and its figures: bar, per cent and time, with the gaps between them.
TAKEN = 10 + 4 + 12 + 4


class TerminalLog(RichHandler):
    """Shows the lines of the log; of one that has shorter forms (`extra={"shorter": [...]}`) the first that fits."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(console=terminal, show_time=False, show_level=False, show_path=False)

    def render_message(self, record: LogRecord, message: str) -> ConsoleRenderable:
        """Shorten the line to the terminal's width as it is now."""
        forms = [message, *getattr(record, "shorter", ())]
        return super().render_message(record, first_that_fits(forms, self.console.width))


class LiveBars:
    """The bars at the bottom of the terminal: batches of training, and below pruning steps while they are made."""

    def __init__(self, terminal: Terminal, batches: int, steps: int) -> None:
        self.terminal, self.steps = terminal, steps
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, table_column=Column(min_width=10)),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeColumn(table_column=Column(no_wrap=True)),
            console=terminal,
        )
        self.training = self.progress.add_task("training", total=batches, figures="", visible=batches > 0)
        total = steps if steps > 1 else None
        self.pruning = self.progress.add_task("pruning", total=total, figures="", visible=False)
        self.progress.start()

    def train(self, batches: int, epoch: int, figures: Sequence[str] = ()) -> None:
        """Show how many batches are done and, where there are new ones, as many of the figures as there is room for."""
        description = f"epoch {epoch}" if epoch else "training"
        new = {"figures": those_that_fit(figures, self.terminal.width - TAKEN - len(description))} if figures else {}
        self.progress.update(self.training, completed=batches, description=description, **new)
        self.progress.update(self.pruning, visible=False)

    def prune(self, steps: int) -> None:
        """Show how many pruning steps are done; of a single one, whose end nobody knows, that something happens."""
        number = f"step {min(steps + 1, self.steps)} of {self.steps}" if self.steps > 1 else ""
        total = self.steps if steps else None  # None changes nothing
        self.progress.update(self.pruning, completed=steps, total=total, visible=True, figures=number)

    def close(self) -> None:
        """Leave the terminal as it is."""
        self.progress.update(self.pruning, visible=False)
        self.progress.stop()
