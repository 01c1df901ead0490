"""metrics.csv, a row an epoch, the testers' tables, and results.json."""

import csv
from typing import TextIO

from utils.hooks import hookimpl
from utils.run.files import write_json
from utils.run.run import Run
from utils.tables import Table


class Records:
    """Writes figures for programs to read; a row is on disk as soon as its epoch is over."""

    def __init__(self) -> None:
        self.file: TextIO | None = None

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Append the epoch to metrics.csv."""
        if self.file is None:
            self.file = (run.folder.output / "metrics.csv").open("w", newline="")
            csv.writer(self.file).writerow(figures)
        csv.writer(self.file).writerow("" if value is None else value for value in figures.values())
        self.file.flush()

    @hookimpl
    def tabulated(self, run: Run, table: Table) -> None:
        """Write the table to a file of its name."""
        with (run.folder.output / f"{table.name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, table.columns)
            writer.writeheader()
            writer.writerows(table.rows)

    @hookimpl
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """Write results.json."""
        write_json(run.folder.output / "results.json", results)
        self._close()

    @hookimpl
    def run_failed(self) -> None:
        """Leave the rows that there are."""
        self._close()

    def _close(self) -> None:
        if self.file is not None:
            self.file.close()
