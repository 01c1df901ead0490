"""A run that is interrupted and goes on ends as one that was not, bit for bit."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.commands import ROOT
from tests.resuming.interruptions import RUNS, SHORT, SMALL, assert_same, stop_at, tear, without_times


@pytest.mark.parametrize("name", RUNS)
def test_it_ends_as_if_it_had_not_been_interrupted(run, monkeypatch, name):
    command, interruptions = RUNS[name]
    whole = run(f"{command} {SMALL}")
    assert whole.status == 0, whole.err
    for steps in interruptions:
        go_on = stop_at(monkeypatch, steps)
        stopped = run(f"{command} {SMALL}")
        go_on()
        assert stopped.status == 130, stopped.err
        resumed = run(f"--resume {stopped.folder.name}")
        assert (resumed.status, resumed.folder) == (0, None), resumed.err
        assert_same(whole.folder, stopped.folder)


def test_what_a_kill_left_of_a_file_is_cleared_away(run, stopped):
    folder = stopped()
    part = folder / "models" / ".last.safetensors.123.part"
    part.write_bytes(bytes(100))
    assert run(f"--resume {folder.name}").status == 0
    assert not part.exists()


def test_without_a_state_it_begins_anew(run, stopped):
    whole, folder = run(SHORT), stopped()
    shutil.rmtree(folder / "state")
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert "no state had been written before the run was interrupted: it starts from scratch" in resumed.out
    assert_same(whole.folder, folder)


def test_event_files_have_each_epoch_once(run, stopped):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = stopped()
    tear(folder)  # so that the second epoch is written again
    assert run(f"--resume {folder.name}").status == 0
    events = EventAccumulator(str(folder / "progress"))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2, 3, 4]


KILLED = {
    "rounds": f"{RUNS['rounds'][0].replace('--epochs 5', '--epochs 24')} --prune_freq 8 --optimizer SGD",
    "channels": f"{RUNS['channels'][0].replace('--epochs 5', '--epochs 17')} --prune_freq 4",
    "L0": f"{RUNS['L0'][0].replace('--epochs 4', '--epochs 26')}",
    "Tick-Tock": f"{RUNS['Tick-Tock'][0].replace('--epochs 7', '--epochs 17')} --tick_epochs 3 --tock_epochs 3",
}


@pytest.fixture(scope="module")
def killer():
    """The program that kills runs: once for all, as it takes seconds to begin."""
    with subprocess.Popen(
        [sys.executable, "tests/killed_runs.py"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_run_that_is_killed_five_times_ends_as_if_it_had_not_been(tmp_path, killer, name):
    words = [str(tmp_path), 0, 5, ["SIGKILL", "SIGTERM"], f"{KILLED[name]} {SMALL}"]
    killer.stdin.write(json.dumps(words) + "\n")
    killer.stdin.flush()
    said = []
    while (line := killer.stdout.readline()) not in ("END\n", ""):
        said.append(line)
    assert line == "END\n", "".join(said)
    for status in (signal.SIGKILL, (128 + signal.SIGTERM) << 8):
        assert sum(line.endswith(f": {status:d}\n") for line in said) == 5
    for killed in tmp_path.glob("*_killed*"):
        assert_same(next(tmp_path.glob("*_whole")), killed)


def test_a_clock_that_is_set_back_an_hour_at_each_look_changes_no_number(run, monkeypatch):
    whole, now, hours = run(SHORT), time.time(), itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(hours))
    again = run(f"{SHORT} --max_training_minutes 60")
    assert again.status == 0, again.err
    assert next(hours) > 5
    (notice,) = again.results["notices"]
    assert notice.startswith(f"the clock has been set back: {whole.folder.name}, beside this run, is of ")
    assert without_times({**again.results, "notices": []}) == without_times(whole.results)
