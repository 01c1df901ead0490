"""metrics.csv, a row an epoch, the testers' tables, and results.json."""

import csv
import io
from pathlib import Path
from typing import Any

from secateur.hooks import hookimpl
from secateur.runs.files import write_atomically, write_checksummed
from secateur.runs.run import Run
from secateur.utils.errors import UserError
from secateur.utils.tables import Table
from secateur.utils.text import csv_table


class Records:
    """Writes figures for programs to read; a row is on disk as soon as its epoch is over."""

    def __init__(self) -> None:
        #: What metrics.csv should hold, and how many bytes of that it does.
        self.metrics = b""
        self.written = 0

    @hookimpl
    def run_resumed(self, run: Run, state: dict[str, Any]) -> None:
        """Removal the rows off that are to be written again."""
        if not isinstance(state.get("Records"), str):
            raise UserError(f"--resume: the state of {run.folder.path} holds no rows of metrics.csv")
        self.metrics = state["Records"].encode()
        if self.metrics:
            self._write(run.folder.output / "metrics.csv")

    @hookimpl
    def on_save_state(self, state: dict[str, Any]) -> None:
        """Keep the rows."""
        state["Records"] = self.metrics.decode()

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Append the epoch to metrics.csv, with the rows before it that could not be written."""
        text = io.StringIO()
        if not self.metrics:
            csv.writer(text).writerow(figures)
        csv.writer(text).writerow("" if value is None else value for value in figures.values())
        self.metrics += text.getvalue().encode()
        self._write(run.folder.output / "metrics.csv")

    def _write(self, path: Path) -> None:
        """Bring the file up to date, from where it is known to be right."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            right = min(file.tell(), self.written)
            file.truncate(right)
            file.write(self.metrics[right:])
        self.written = len(self.metrics)

    @hookimpl
    def table_created(self, run: Run, table: Table) -> None:
        """Write the table to a file of its name."""
        write_atomically(run.folder.output / f"{table.name}.csv", csv_table(table.columns, table.rows))

    @hookimpl
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """Write results.json."""
        if self.written < len(self.metrics):
            self._write(run.folder.output / "metrics.csv")
        write_checksummed(run.folder.output / "results.json", results)
