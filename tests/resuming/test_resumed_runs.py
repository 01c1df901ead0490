"""A run that is interrupted and goes on ends as one that was not, bit for bit."""

import shutil
import signal
import subprocess
import sys

import pytest

from tests.commands import ROOT, results
from tests.resuming.interruptions import RUNS, SHORT, SMALL, assert_same, stop_at, tear


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


def test_other_code_than_before_is_noticed(run, stopped, monkeypatch):
    folder = stopped()
    monkeypatch.setattr("secateur.runs.folder._git", lambda *command: "89abcde")
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    (notice,) = results(folder)["notices"]
    assert "begun with git commit 1234567 and goes on with 89abcde" in notice


def test_what_it_began_with_may_be_unreadable(run, stopped):
    folder = stopped()
    (folder / "output" / "environment.json").write_text("[]")
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert results(folder)["notices"] == ["what the run began with cannot be read: it holds no dictionary but list"]


def test_event_files_have_each_epoch_once(run, stopped):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = stopped()
    tear(folder)  # so that the second epoch is written again
    assert run(f"--resume {folder.name}").status == 0
    events = EventAccumulator(str(folder / "progress"))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss")] == [1, 2, 3, 4]


KILLED = {
    "rounds": f"{RUNS['rounds'][0].replace('--epochs 5', '--epochs 60')} --prune_freq 20 --optimizer SGD",
    "channels": f"{RUNS['channels'][0].replace('--epochs 5', '--epochs 25')} --prune_freq 6",
    "L0": f"{RUNS['L0'][0].replace('--epochs 4', '--epochs 40')}",
    "Tick-Tock": f"{RUNS['Tick-Tock'][0].replace('--epochs 7', '--epochs 25')} --tick_epochs 4 --tock_epochs 4",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_run_that_is_killed_five_times_ends_as_if_it_had_not_been(tmp_path, name):
    words = [sys.executable, "tests/killed_runs.py", tmp_path, "0", "5", "SIGKILL,SIGTERM", f"{KILLED[name]} {SMALL}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    for status in (signal.SIGKILL, (128 + signal.SIGTERM) << 8):
        assert done.stdout.count(f": {status:d}\n") == 5
    for killed in tmp_path.glob("*_killed*"):
        assert_same(next(tmp_path.glob("*_whole")), killed)
