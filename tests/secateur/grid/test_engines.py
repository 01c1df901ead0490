"""What starts the runs of a grid, waits for them, and stops them."""

import contextlib
import io
import tarfile
from pathlib import Path

import pytest

from secateur import cli
from secateur.grid.engines import engine_for, run_all
from secateur.grid.engines.local import Local
from secateur.grid.engines.ray import unpack
from secateur.grid.options import GridOptions
from secateur.grid.outcome import Outcome
from secateur.grid.trials import Grid, Trial

ROOT = Path(__file__).parents[3]


class Named(str):
    """A trial of this name that waits for no other."""

    settings = {}
    key = property(str)


def named(letters):
    return [Named(letter) for letter in letters]


class Recorded:
    """An engine that runs nothing: what was begun last ends first."""

    def __init__(self):
        self.events = []

    def start(self, trial):
        self.events.append(f"start {trial}")
        return trial

    def wait(self, running):
        self.events.append(f"wait {len(running)}")
        return [(running[-1], Outcome(0, ""))]

    def stop(self, running):
        self.events.append(f"stop {running}")

    def close(self):
        self.events.append("close")


def test_at_most_so_many_run_at_a_time_and_each_is_told_once():
    engine = Recorded()
    assert [trial for trial, _ in run_all(named("abc"), engine, 2)] == ["b", "c", "a"]
    assert engine.events == ["start a", "start b", "wait 2", "start c", "wait 2", "wait 1", "close"]


def test_what_still_runs_is_stopped_when_nobody_waits_any_more():
    engine = Recorded()
    with contextlib.closing(run_all(named("abcd"), engine, 3)) as outcomes:
        assert next(outcomes)[0] == "c"
    assert engine.events[-2:] == ["stop ['a', 'b']", "close"]


def test_an_engine_that_fails_to_start_one_stops_the_others():
    engine = Recorded()

    def fail(running):
        raise KeyboardInterrupt

    engine.wait = fail
    with pytest.raises(KeyboardInterrupt):
        list(run_all(named("ab"), engine, 2))
    assert engine.events[-2:] == ["stop ['a', 'b']", "close"]


def test_a_process_that_is_killed_ends_no_other(tmp_path):
    settings = {"model": ("LogisticRegression",), "N": ("64",), "epochs": ("1",)}
    trials = [Trial(settings | {"seed": (seed,)}, {"seed": int(seed)}) for seed in "12"]
    engine = engine_for(Grid(trials, tmp_path, [], GridOptions(engine="local", jobs=2), run_name=""), cli.main)
    assert isinstance(engine, Local)
    processes = [engine.start(trial) for trial in trials]
    processes[0].kill()
    outcomes = {}
    while len(outcomes) < 2:
        outcomes |= {
            process.name: outcome for process, outcome in engine.wait([p for p in processes if p.name not in outcomes])
        }
    engine.close()
    assert outcomes[trials[0].label].error == "killed by SIGKILL"
    assert outcomes[trials[1].label].status == 0
    assert "run folder" in outcomes[trials[1].label].output
    assert [path.name[-8:] for path in tmp_path.glob("*/output/results.json") for path in [path.parent.parent]] == [
        trials[1].key
    ]


def test_folders_come_back_whole_and_over_nothing(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("date_run/output/results.json")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"{}"))
    (tmp_path / "date_run").mkdir()
    unpack(packed.getvalue(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["date_run", "date_run_2"]
    assert (tmp_path / "date_run_2" / "output" / "results.json").read_text() == "{}"
