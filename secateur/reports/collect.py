"""Reads run folders. What is damaged becomes a line in a list of problems; nothing is left out without one."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError, one_line

#: What identifies a run: taken from its results, which name the classes, not the aliases that were typed.
NAMED = ("model", "data_set", "prune_criterion")


@dataclass
class RunRecord:
    """What a run folder says. Accuracies, sparsities and densities are shares in [0, 1]."""

    folder: Path
    #: arguments.json, with the classes' names in `NAMED`.
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    #: Rows of metrics.csv, an epoch each; what was not measured is missing.
    epochs: list[dict[str, float]] = field(default_factory=list)
    #: Rows of the testers' tables, by file name.
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    command: str = ""
    #: finished, failed, incomplete or damaged; and why, where it is not finished.
    status: str = "finished"
    reason: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def trained(self) -> bool:
        """Whether this is a finished training, which means are taken of; not a test of one."""
        return self.status == "finished" and not self.settings.get("eval")

    def figure(self, name: str) -> float | None:
        """A number of results.json; None where it was not measured."""
        value = self.results.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def accuracy(self) -> float | None:
        """Of the test set; with `--tuning` of the validation set."""
        test = self.figure("test_accuracy")
        return self.figure("validation_accuracy") if test is None else test

    @property
    def compression(self) -> float | None:
        """Prunable weights of the dense network for each that is not zero; None where none is left."""
        sparsity = self.figure("weight_sparsity")
        return None if sparsity is None or sparsity >= 1 else 1 / (1 - sparsity)

    @property
    def densities(self) -> dict[str, float]:
        """The share of each layer's weights that is not zero."""
        found = self.results.get("layer_densities")
        return found if isinstance(found, dict) else {}

    @property
    def checkpoint(self) -> Path | None:
        """The tensors of the finished network, where they are there."""
        return next(self.folder.glob("models/*_finished.safetensors"), None)


def collect(places: Sequence[Path]) -> tuple[list[RunRecord], list[str]]:
    """Read every run folder that is, or lies anywhere below, one of `places`; returns them and what is wrong.

    Raises `UserError` where a place is no folder or there is no run in any of them.
    """
    for place in places:
        if not place.is_dir():
            raise UserError(f"--report {place}: there is no such folder; name run folders, or folders that hold them")
    found = dict.fromkeys(folder for place in places for folder in _run_folders(place.absolute()))
    if not found:
        named = ", ".join(map(str, places))
        raise UserError(f"--report {named}: no run folder (one with output/) is there; name one, or a folder of them")
    problems: list[str] = []
    runs = [_read_run(folder, problems) for folder in sorted(found)]
    return runs, problems


def _run_folders(place: Path) -> list[Path]:
    found = []
    for path, folders, _ in os.walk(place):
        if _is_run(Path(path)):
            found.append(Path(path))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return found


def _is_run(folder: Path) -> bool:
    output = folder / "output"
    signs = (folder / "codebase", output / "arguments.json", output / "results.json", output / "log.txt")
    return output.is_dir() and any(sign.exists() for sign in signs)


def _read_run(folder: Path, problems: list[str]) -> RunRecord:
    run, output, before = RunRecord(folder), folder / "output", len(problems)
    run.settings = _json(output / "arguments.json", problems)
    run.environment = _json(output / "environment.json", problems)
    run.command = _text(output / "calling_command.txt").partition("\n")[0]
    if (output / "results.json").exists():
        run.results = _json(output / "results.json", problems)
    run.settings |= {name: run.results[name] for name in NAMED if isinstance(run.results.get(name), str)}
    for path in sorted(output.glob("*.csv")):
        rows = _csv(path, problems)
        if path.name == "metrics.csv":
            run.epochs = _numbers(rows)
        else:
            run.tables[path.name] = rows
    for path in folder.glob("models/*_finished.json"):
        shape = _json(path, problems).get("input_shape")
        run.input_shape = tuple(shape) if isinstance(shape, list) else None
    if len(problems) > before:
        run.status, run.reason = "damaged", problems[before].partition(": ")[2]
    elif not run.results:
        run.status, run.reason = _why_unfinished(_text(output / "log.txt"))
    return run


def _why_unfinished(log: str) -> tuple[str, str]:
    """The status of a run without results, and the line of its log that says why."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ends = [line for line in lines if " ended by " in line]
    if ends:
        return "failed", ends[-1]
    return "incomplete", f"still going, or killed; {lines[-1]}" if lines else "its log.txt is empty"


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return read_checksummed(path)
    except (OSError, ValueError) as error:
        problems.append(f"{path}: {getattr(error, 'strerror', None) or one_line(error)}")
        return {}


def _csv(path: Path, problems: list[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{path}: {one_line(error)}")
        return []


def _numbers(rows: list[dict[str, str]]) -> list[dict[str, float]]:
    """The numbers of each row that has an epoch: a row that was being written when the run was killed is cut off."""
    read = [{name: float(text) for name, text in row.items() if _is_number(text)} for row in rows]
    return [row for row in read if "epoch" in row]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
