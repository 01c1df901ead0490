"""The index of a grid, from run folders made by hand."""

import csv
import json
import os
from pathlib import Path

import pytest

from secateur.grid.index import Index
from secateur.grid.options import GridOptions
from secateur.grid.outcome import Outcome
from secateur.grid.trials import Grid, Trial


@pytest.fixture
def index(tmp_path):
    trials = [Trial({"model": ("LeNet300",), "seed": (str(seed),)}, {"seed": seed}) for seed in (1, 2, 3)]
    index = Index(Grid(trials, tmp_path / "grid_x", ["--seed", "1,2,3"], GridOptions(), run_name=""))
    index.write_grid()
    index.read()
    return index


def add_run(index, number, date="2026-01-01_00.00.00", ending="", evaluated=False, **results):
    trial = index.grid.trials[number]
    output = index.grid.folder / f"{date}_{trial.label}{ending}" / "output"
    output.mkdir(parents=True)
    (output / "arguments.json").write_text(json.dumps({"eval": evaluated}))
    if results:
        (output / "results.json").write_text(json.dumps(results))
    return output.parent.name


def states(index):
    index.read()
    return [row["status"] for row in index.rows.values()]


def test_a_run_with_results_is_done_and_one_without_is_missing(index):
    assert states(index) == ["missing"] * 3
    folder = add_run(index, 0, test_accuracy=0.5, seconds=2.0)
    add_run(index, 1)
    assert states(index) == ["done", "missing", "missing"]
    row = index.rows[index.grid.trials[0].key]
    assert (row["seed"], row["test_accuracy"], row["seconds"], row["folder"]) == (1, 0.5, 2.0, folder)


def test_a_failure_is_kept_and_forgotten(index):
    trial = index.grid.trials[1]
    index.note_failure(trial, "it broke", "some\nlines\n")
    assert states(index) == ["missing", "failed", "missing"]
    assert index.read_one(trial)["error"] == "it broke"
    index.forget_failure(trial)
    assert states(index) == ["missing"] * 3


def test_the_newest_run_that_finished_counts(index):
    add_run(index, 2, test_accuracy=0.25)
    newer = add_run(index, 2, ending="_2", test_accuracy=0.75)
    add_run(index, 2, date="2026-02-01_00.00.00")
    index.read()
    row = index.rows[index.grid.trials[2].key]
    assert (row["status"], row["test_accuracy"], row["folder"]) == ("done", 0.75, newer)


def test_results_of_an_interruption_or_of_the_training_before_an_evaluation_do_not_count(index):
    add_run(index, 0, test_accuracy=0.5, interrupted=True)
    add_run(index, 1, test_accuracy=0.5, evaluated=True)
    assert states(index) == ["missing"] * 3


def test_the_files_say_the_same_to_programs(index):
    add_run(index, 0, test_accuracy=0.5)
    index.note_failure(index.grid.trials[1], 'broken: "a, b"', "")
    index.read()
    index.write()
    folder = index.grid.folder
    rows = list(csv.DictReader((folder / "index.csv").read_text().splitlines()))
    assert [(row["seed"], row["status"], row["error"]) for row in rows] == [
        ("1", "done", ""),
        ("2", "failed", 'broken: "a, b"'),
        ("3", "missing", ""),
    ]
    written = json.loads((folder / "index.json").read_text())
    assert written == {"varying": ["seed"], "runs": list(index.rows.values())}
    grid = json.loads((folder / "grid.json").read_text())
    assert grid["command"] == "python3 main.py --seed 1,2,3"
    assert grid["runs"][2]["flags"] == {"model": "LeNet300", "seed": "3"}
    assert not list(Path(folder).glob("*.part"))


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome(-9, "epoch 1\n"), "killed by SIGKILL"),
        (Outcome(2, "epoch 1\nerror: too small\n"), "too small"),
        (Outcome(1, "Traceback\n  at\nKeyError: 3\n\n"), "ended with status 1: KeyError: 3"),
        (Outcome(1, ""), "ended with status 1: it said nothing"),
    ],
)
def test_what_went_wrong_is_one_line(outcome, error):
    assert outcome.error == error


def test_of_a_long_output_the_end_is_kept():
    assert Outcome(1, "\n".join(map(str, range(100)))).last_lines.splitlines() == [str(line) for line in range(60, 100)]


def test_what_a_folder_holds_instead_of_figures_or_a_reason_ends_no_grid(index):
    add_run(index, 0, test_accuracy="0.5", test_loss=10**400, seconds=[], smoke=True)
    index.note_failure(index.grid.trials[1], "\x1b[31m=no", "")
    index.failures.mkdir(exist_ok=True)
    os.mkfifo(index.failures / f"{index.grid.trials[2].label}.txt")
    assert states(index) == ["done", "failed", "failed"]
    first, second, third = index.rows.values()
    assert (first["test_accuracy"], first["test_loss"], first["seconds"], first["smoke"]) == (None, None, None, True)
    assert second["error"] == r"\x1b[31m=no"
    assert third["error"].endswith(".txt cannot be read: it is not a file")
    index.write()
