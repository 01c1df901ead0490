"""A grid from its beginning to its end, with an engine that runs nothing and makes the run folders by hand."""

import contextlib
import json
import os
import platform

import pytest

from secateur.grid import run_grid as module
from secateur.grid import turns
from secateur.grid.index import Index
from secateur.grid.options import GridOptions
from secateur.grid.outcome import Outcome
from secateur.grid.run_grid import _jobs, run_grid
from secateur.grid.trials import Grid, trials_of
from secateur.grid.turns import own_turn


@pytest.fixture
def grid(tmp_path):
    """A grid of runs that differ in their seed."""

    def grid(seeds="123", smoke_of=None, **options):
        trials = trials_of([{"seed": (seed,)} for seed in seeds])
        return Grid(
            trials, tmp_path / "grid", ["--seed", ",".join(seeds)], GridOptions(**options), "", smoke_of=smoke_of
        )

    return grid


def make(grid, number, date="2026-01-01_00.00.00", **results):
    """Make the folder of a run, which has finished where it has results, and was killed where it has none."""
    folder = grid.folder / f"{date}_{grid.trials[number].label}"
    (folder / "output").mkdir(parents=True)
    (folder / "output" / "arguments.json").write_text('{"eval": false}')
    (folder / "output" / "log.txt").write_text("begins\n")
    if results:
        (folder / "output" / "results.json").write_text(json.dumps(results))
    else:
        (folder / "state").mkdir()
        (folder / "state" / "state_000001.json").write_text("{}")
    return folder.name


def statuses(grid):
    return [row["status"] for row in json.loads((grid.folder / "index.json").read_text())["runs"]]


class Engine:
    """Each run ends as `ends` says of its number: with an accuracy, with an outcome that failed, or with an error."""

    def __init__(self, grid, ends):
        self.grid, self.ends, self.events = grid, ends, []

    def start(self, trial):
        number = self.grid.trials.index(trial)
        self.events.append((number, statuses(self.grid)))
        if isinstance(self.ends[number], float):
            make(self.grid, number, "2026-01-02_00.00.00", test_accuracy=self.ends[number], seconds=2)
        return number

    def wait(self, running):
        end = self.ends[running[0]]
        if isinstance(end, BaseException):
            make(self.grid, running[0])
            raise end
        return [(running[0], end if isinstance(end, Outcome) else Outcome(0, "done\n"))]

    def stop(self, running):
        self.events.append(f"stop {running}")

    def close(self):
        self.events.append("close")


@pytest.fixture
def engine(monkeypatch):
    """Let a grid be run by an `Engine`; without `ends` none may be asked for."""

    def engine(grid, *ends):
        found = Engine(grid, ends)
        monkeypatch.setattr(module, "engine_for", lambda asked, main: found if ends else pytest.fail(main))
        monkeypatch.setattr("secateur.grid.progress.time.perf_counter", lambda: 0.0)
        return found

    return engine


def test_what_failed_and_what_is_missing_runs_and_is_told(grid, engine, capsys):
    found = grid(smoke_of=7)
    make(found, 0, test_accuracy=0.5, seconds=1)
    index = Index(found)
    index.note_failure(found.trials[1], "old", "")
    index.note_failure(found.trials[2], "older", "")
    ran = engine(found, None, 0.25, Outcome(2, "a\nerror: no disk\n"))
    assert run_grid(found, None) == 1
    key = found.trials[2].key
    assert capsys.readouterr().out.splitlines() == [
        f"grid folder: {found.folder}",
        "smoke: tiny runs, chosen so that every value is in one of them, of numbers the smallest and largest; of 7 "
        "runs",
        "3 runs: 1 done, 2 to run",
        "1 of 2 · seed 2 · test accuracy 25.00%, 2.0 s · 0 s left",
        "2 of 2 · seed 3 · FAILED: no disk",
        f"1 run failed; the last that each said is in {found.folder}/failed",
        f"index: {found.folder}/index.csv",
    ]
    assert ran.events == [(1, ["done", "missing", "missing"]), (2, ["done", "done", "missing"]), "close"]
    assert statuses(found) == ["done", "done", "failed"]
    assert [(path.name, path.read_text()) for path in (found.folder / "failed").iterdir()] == [
        (f"seed-3_{key}.txt", "no disk\n\na\nerror: no disk\n")
    ]
    written = json.loads((found.folder / "grid.json").read_text())
    assert (written["command"], written["varying"]) == ("python3 main.py --seed 1,2,3", ["seed"])
    assert written["runs"][0] == {"run": found.trials[0].label, "flags": {"seed": "1"}, "argv": ["--seed", "1"]}


def test_where_all_is_done_no_engine_is_asked_for(grid, engine, capsys):
    found = grid("1")
    make(found, 0, test_accuracy=0.5)
    engine(found)
    assert run_grid(found, None) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"grid folder: {found.folder}",
        "1 run: 1 done, 0 to run",
        f"index: {found.folder}/index.csv",
    ]


def test_what_another_process_has_run_meanwhile_is_not_run_again(grid, engine, monkeypatch):
    @contextlib.contextmanager
    def wait_for_turn(folder, say):
        make(found, 0, test_accuracy=0.5)
        yield

    found = grid()
    monkeypatch.setattr(module, "own_turn", wait_for_turn)
    ran = engine(found, None, 0.5, 0.75)
    assert run_grid(found, None) == 0
    assert [event[0] for event in ran.events[:2]] == [1, 2]


def test_an_interrupted_grid_says_in_its_index_what_was(grid, engine):
    found = grid()
    ran = engine(found, 0.5, KeyboardInterrupt(), None)
    with pytest.raises(KeyboardInterrupt):
        run_grid(found, None)
    assert statuses(found) == ["done", "interrupted", "missing"]
    assert ran.events[2:] == ["stop [1]", "close"]


def test_a_dry_run_shows_how_many_run_at_a_time(grid, engine, monkeypatch):
    found, shown = grid(engine="ray", dry_run=True), []
    make(found, 0, test_accuracy=0.5)
    engine(found)
    monkeypatch.setattr(module, "show_plan", lambda grid, index, jobs: shown.append((grid, len(index.rows), jobs)))
    assert run_grid(found, None) == 0
    assert shown == [(found, 3, 2)]
    assert not (found.folder / "index.csv").exists()


@pytest.mark.parametrize(
    ("engine", "jobs", "waiting", "expected"),
    [("local", None, 5, 1), ("local", 3, 5, 3), ("ray", None, 5, 5), ("slurm", None, 0, 1), ("slurm", 2, 5, 2)],
)
def test_so_many_run_at_a_time(grid, engine, jobs, waiting, expected):
    assert _jobs(grid(engine=engine, jobs=jobs), [None] * waiting) == expected


def test_a_row_is_of_the_newest_folder_that_counts(grid):
    found = grid("12345")
    index = Index(found)
    dates = ("2026-01-03_00.00.00", "2026-01-01_00.00.00", "2026-01-02_00.00.00")
    for accuracy, date in enumerate(dates):
        make(found, 0, date, test_accuracy=accuracy, validation_loss=0.5, smoke=True, seconds=3, notices=["x"])
        make(found, 1, date)
        make(found, 2, date, test_accuracy=1)
    for number in (1, 2, 3):
        index.note_failure(found.trials[number], f"error {number}", "more\n")
        index.note_failure(found.trials[number], f"again {number}", "more\n")
    index.forget_failure(found.trials[1])
    index.read()
    rows = list(index.rows.values())
    nothing = dict.fromkeys(rows[4].keys() - {"run", "seed", "status"})
    figures = {"test_accuracy": 0, "validation_loss": 0.5, "smoke": True, "seconds": 3}
    newest = [f"2026-01-03_00.00.00_{trial.label}" for trial in found.trials]
    assert rows[0] == {
        **nothing,
        "run": found.trials[0].label,
        "seed": 1,
        "status": "done",
        **figures,
        "folder": newest[0],
    }
    assert rows[1] == {**nothing, "run": found.trials[1].label, "seed": 2, "status": "interrupted", "folder": newest[1]}
    assert (rows[2]["status"], rows[2]["error"]) == ("done", None)
    assert rows[3] == {**nothing, "run": found.trials[3].label, "seed": 4, "status": "failed", "error": "again 3"}
    assert rows[4] == {**nothing, "run": found.trials[4].label, "seed": 5, "status": "missing"}
    assert list(rows[4])[:4] == ["run", "seed", "status", "error"]
    assert [index.read_one(trial) for trial in found.trials] == rows
    assert index.in_state("done", "failed") == [found.trials[number] for number in (0, 2, 3)]


def test_a_switch_is_true_among_the_flags_of_a_run(tmp_path):
    grid = Grid(trials_of([{"tuning": (), "input_dim": ("1", "8", "8")}]), tmp_path, [], GridOptions(), "")
    Index(grid).write_grid()
    (written,) = json.loads((tmp_path / "grid.json").read_text())["runs"]
    assert written["flags"] == {"tuning": True, "input_dim": "1 8 8"}


def test_who_has_a_folder_is_read_from_its_lock_and_written_there(tmp_path, monkeypatch):
    folder, said = tmp_path / "a" / "grid", []
    with own_turn(folder, said.append):
        mine = f"process {os.getpid()} on {platform.node()}"
        assert (folder / "grid.lock").read_text() == mine
    (folder / "grid.lock").write_bytes(b"process 7 on \xff" + b"x" * 300)
    asked = []
    monkeypatch.setattr(turns, "lock", lambda file, wait=False: asked.append(wait) or wait)
    with own_turn(folder, said.append):
        assert (folder / "grid.lock").read_text() == mine
    (folder / "grid.lock").write_bytes(b"")
    with own_turn(folder, said.append):
        pass
    assert asked == [False, True] * 2
    assert said == [
        f"{folder} is run by process 7 on \ufffd{'x' * 186}: waiting for that to end",
        f"{folder} is run by another process: waiting for that to end",
    ]
