"""How far a grid has come: a row for each run, read from the run folders, and written beside them.

The run folders are the truth; `index.csv` and `index.json` say the same for people and programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.grid.run_folders import folders_by_key, folders_of, interrupted, results_of
from secateur.grid.trials import Grid, Trial
from secateur.grid.turns import cannot_be_kept
from secateur.runs.files import read_text, write_atomically, write_json
from secateur.utils.text import csv_table, is_figure, printable

DONE, FAILED, INTERRUPTED, MISSING = "done", "failed", "interrupted", "missing"
#: What the same command runs, or goes on with.
TO_RUN = (FAILED, INTERRUPTED, MISSING)
#: What a row has of a run's results.json.
FIGURES = (
    "test_accuracy",
    "test_loss",
    "validation_accuracy",
    "validation_loss",
    "weight_sparsity",
    "node_sparsity",
    "parameters_dense",
    "parameters_kept",
    "flops_dense",
    "flops_effective",
    "seconds",
    "smoke",
)


class Index:
    """The rows of a grid's runs, in the grid's order; see `read`, which makes one from what is there."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.failures = grid.folder / "failed"
        self.rows: dict[str, dict[str, Any]] = {}

    def read(self) -> None:
        """Read every run's state anew from the grid's folder, which need not be there."""
        folders = folders_by_key(self.grid.folder)
        failures = {path.stem[-8:]: path for path in self.failures.glob("*.txt")}
        for trial in self.grid.trials:
            self.rows[trial.key] = self._row(trial, folders.get(trial.key, []), failures.get(trial.key))

    def read_one(self, trial: Trial) -> dict[str, Any]:
        """Read one run's state anew, and return its row."""
        failure = next(self.failures.glob(f"*_{trial.key}.txt"), None)
        self.rows[trial.key] = self._row(trial, folders_of(trial, self.grid.folder), failure)
        return self.rows[trial.key]

    def in_state(self, *states: str) -> list[Trial]:
        """The runs that are done, failed, interrupted with a state to go on from, or missing."""
        return [trial for trial in self.grid.trials if self.rows[trial.key]["status"] in states]

    def note_failure(self, trial: Trial, error: str, output: str) -> None:
        """Keep in a file of its own why a run has failed, a line, and the last that it said: it may have no folder."""
        self.failures.mkdir(exist_ok=True)
        write_atomically(self.failures / f"{trial.label}.txt", f"{error}\n\n{output}")

    def forget_failure(self, trial: Trial) -> None:
        """What failed runs again."""
        for path in self.failures.glob(f"*_{trial.key}.txt"):
            path.unlink()

    def write(self) -> None:
        """Write index.csv and index.json."""
        rows = list(self.rows.values())
        write_atomically(self.grid.folder / "index.csv", csv_table(list(rows[0]), rows))
        write_json(self.grid.folder / "index.json", {"varying": self.grid.varying, "runs": rows})

    def write_grid(self) -> None:
        """Write grid.json: every run with all its flags, and the command. Raises `UserError` where that cannot be."""
        grid = self.grid
        runs = [
            {
                "run": trial.label,
                "flags": {flag: " ".join(words) if words else True for flag, words in trial.settings.items()},
                "argv": trial.argv,
            }
            for trial in grid.trials
        ]
        try:
            write_json(grid.folder / "grid.json", {"command": grid.command, "varying": grid.varying, "runs": runs})
        except OSError as error:
            raise cannot_be_kept(grid.folder, error) from error

    def _row(self, trial: Trial, folders: list[Path], failure: Path | None) -> dict[str, Any]:
        finished = [(folder, results) for folder in folders if (results := results_of(trial, folder)) is not None]
        folder, results = finished[-1] if finished else (folders[-1] if folders else None, {})
        status = DONE if finished else FAILED if failure else INTERRUPTED if interrupted(trial, folders) else MISSING
        error = _first_line(failure) if status == FAILED else None
        return {
            "run": trial.label,
            **trial.varying,
            "status": status,
            "error": error,
            **{name: _figure(results.get(name)) for name in FIGURES},
            "folder": folder.name if folder else None,
        }


def _figure(value: Any) -> Any:
    """A figure, or whether something is so; None for what a run never writes in their place."""
    return value if isinstance(value, bool) or is_figure(value) else None


def _first_line(file: Path) -> str:
    try:
        return printable(read_text(file, "replace").partition("\n")[0])
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
