"""Reads run folders. What is damaged becomes a line in a list of problems; nothing is left out without one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path
from typing import Any

from secateur.reports.reading import Reader, are_figures, are_sizes, is_count, is_measured, is_text, numbers_in
from secateur.reports.run_options import own_settings
from secateur.utils.errors import UserError
from secateur.utils.text import is_figure, printable

METRICS = "metrics.csv"
#: What is said of a run that has not ended, before the last line of its log.
STILL_GOING = "still going, or killed; "
#: Of a tester's table so many rows are kept.
MOST_ROWS = 100
#: What identifies a run: taken from its results, which name the classes, not the aliases that were typed.
NAMED = ("model", "data_set", "prune_criterion")
#: What a report reads of arguments.json and results.json must be of this kind.
SETTINGS = {**dict.fromkeys((*NAMED, "control", "control_of"), is_text), "input_dim": are_sizes}
MEASURED = (
    *("test_accuracy", "validation_accuracy", "test_loss", "weight_sparsity", "node_sparsity", "flops_effective"),
    *("test_top5_accuracy", "validation_top5_accuracy", "parameters_dense", "parameters_kept", "flops_dense"),
    *("flops_training_total", "checkpoint_bytes", "seconds_training", "seconds_testing"),
    *(f"latency_{unit}_batch_{size}" for unit in ("ms", "dense_ms") for size in (1, 64)),
)
RESULTS = {**dict.fromkeys(NAMED, is_text), **dict.fromkeys(MEASURED, is_measured), "layer_densities": are_figures}


@dataclass
class RunRecord:
    """What a run folder says. Accuracies, sparsities and densities are shares in [0, 1]."""

    folder: Path
    #: arguments.json, with the classes' names in `NAMED`, without options of components that the run does not have.
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    #: Rows of metrics.csv, an epoch each; what was not measured is missing.
    epochs: list[dict[str, float]] = field(default_factory=list)
    #: The first rows of the testers' tables, by file name; and how many each has.
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    table_rows: dict[str, int] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    #: How many classes the data have; None where no finished network is there.
    classes: int | None = None
    command: str = ""
    #: finished, failed, incomplete or damaged; and why, where it is not finished.
    status: str = "finished"
    reason: str = ""

    @property
    def name(self) -> str:
        """The folder's name."""
        return printable(self.folder.name)

    @property
    def trained(self) -> bool:
        """Whether this is a finished training, which means are taken of; not a test of one."""
        return self.status == "finished" and not self.settings.get("eval")

    def figure(self, name: str) -> float | None:
        """A number of results.json; None where it was not measured."""
        value = self.results.get(name)
        return value if is_figure(value) else None

    @property
    def accuracy(self) -> float | None:
        """Of the test set; with `--tuning` of the validation set."""
        test = self.figure("test_accuracy")
        return self.figure("validation_accuracy") if test is None else test

    @property
    def outcome(self) -> str:
        """The status, where a test is none of a training that has finished: finished, test, failed, ..."""
        return "test" if self.status == "finished" and not self.trained else self.status

    @property
    def top5_accuracy(self) -> float | None:
        """Of the same set."""
        test = self.figure("test_top5_accuracy")
        return self.figure("validation_top5_accuracy") if test is None else test

    def seconds_to(self, accuracy: float) -> float | None:
        """Seconds of training, without pruning and testing, at the end of the first epoch with at least this accuracy.

        It is that of the test set, with `--tuning` or `--keep_best` of the validation set; None where no epoch that was
        tested has reached it. `--eval_freq` says which epochs are tested.
        """
        for row in self.epochs:
            if row.get("test_accuracy", row.get("validation_accuracy", -1)) >= accuracy:
                return row.get("seconds_training")
        return None

    @property
    def compression(self) -> float | None:
        """Prunable weights of the dense network for each that is not zero; None where none is left."""
        sparsity = self.figure("weight_sparsity")
        return None if sparsity is None or sparsity >= 1 else 1 / (1 - sparsity)

    @property
    def densities(self) -> dict[str, float]:
        """The share of each layer's weights that is not zero."""
        return self.results.get("layer_densities") or {}

    @property
    def checkpoint(self) -> Path | None:
        """The tensors of the finished network, where they are there."""
        return next((path for path in self.folder.glob("models/*_finished.safetensors") if isfile(path)), None)  # noqa: PTH113


def collect(places: Sequence[Path]) -> tuple[list[RunRecord], list[str]]:
    """Read every run folder that is, or lies anywhere below, one of `places`; returns them and what is wrong.

    Raises `UserError` where a place is no folder or there is no run in any of them.
    """
    reader = Reader()
    for place in places:
        check_folder("--report", place, "run folders, or folders that hold them")
    found = dict.fromkeys(folder for place in places for folder in run_folders(place, reader))
    if not found:
        named, why = ", ".join(map(str, places)), "".join(f"; {problem}" for problem in reader.problems[:1])
        what = "no run folder (one with output/) is there; name one, or a folder of them"
        raise UserError(f"--report {named}: {what}{why}")
    return [read_run(folder, reader) for folder in sorted(found)], reader.problems


def check_folder(flag: str, place: Path, wanted: str) -> None:
    """Raise `UserError` where a flag names what is no folder; `wanted` says what to name instead."""
    try:
        is_folder = place.is_dir()
    except OSError as error:
        raise UserError(f"{flag} {place}: {error.strerror}") from error
    if not is_folder:
        raise UserError(f"{flag} {place}: there is no such folder; name {wanted}")


def run_folders(place: Path, reader: Reader) -> list[Path]:
    """The run folders that are, or lie anywhere below, `place`; what cannot be listed is noted."""
    found = []
    for path, folders, _ in os.walk(place.absolute(), onerror=lambda error: reader.note(error.filename, error)):
        if _is_run(Path(path)):
            found.append(Path(path))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return found


def _is_run(folder: Path) -> bool:
    output = folder / "output"
    signs = (folder / "codebase", output / "arguments.json", output / "results.json", output / "log.txt")
    try:
        return output.is_dir() and any(sign.exists() for sign in signs)
    except OSError:
        return True  # it may not be looked into, which reading it then says


def read_run(folder: Path, reader: Reader, *, tables: bool = True) -> RunRecord:
    """Read a run folder, with the testers' tables or without; what is wrong with it is noted."""
    run, before = RunRecord(folder), len(reader.problems)
    names = reader.names(folder / "output")
    if len(reader.problems) == before:
        names = [name for name in names if tables or not name.endswith(".csv") or name == METRICS]
        _read_output(run, names, reader)
        for name in reader.names(folder / "models"):
            if name.endswith("_finished.json"):
                found = reader.json(folder / "models" / name, {"input_shape": are_sizes, "num_classes": is_count})
                run.input_shape = tuple(found["input_shape"]) if found.get("input_shape") else None
                run.classes = found.get("num_classes")
    if len(reader.problems) > before:
        run.status, run.reason = "damaged", reader.problems[before].partition(": ")[2]
    return run


def _read_output(run: RunRecord, names: Sequence[str], reader: Reader) -> None:
    """Read the files of output/, of which these are the names."""
    output = run.folder / "output"
    run.settings = reader.json(output / "arguments.json", SETTINGS)
    run.environment = reader.json(output / "environment.json", {})
    if "calling_command.txt" in names:
        run.command = reader.text(output / "calling_command.txt").partition("\n")[0]
    if "results.json" in names:
        run.results = reader.json(output / "results.json", RESULTS)
    run.settings |= {name: run.results[name] for name in NAMED if run.results.get(name)}
    run.settings = own_settings(run.settings)
    for name in names:
        if name.endswith(".csv"):
            rows = reader.csv(output / name)
            if name == METRICS:
                run.epochs = numbers_in(rows)
            else:
                run.tables[name], run.table_rows[name] = rows[:MOST_ROWS], len(rows)
    if not run.results:
        log = reader.text(output / "log.txt") if "log.txt" in names else ""
        run.status, run.reason = _why_unfinished(log)


def _why_unfinished(log: str) -> tuple[str, str]:
    """The status of a run without results, and the line of its log that says why."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ends = [line for line in lines if " ended by " in line]
    if ends:
        return "failed", ends[-1]
    return "incomplete", f"{STILL_GOING}{lines[-1]}" if lines else "its log.txt is empty"
