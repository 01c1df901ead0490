"""What of an interrupted run is damaged, of another version, or still running: told in one line, or done without."""

import pickle
import shutil
import signal
import subprocess
import sys

import pytest

from secateur.runs.files import read_checksummed, write_checksummed
from secateur.runs.resuming import find_interrupted
from tests.commands import QUICK, ROOT
from tests.malice import Bomb
from tests.resuming.interruptions import SHORT, SMALL, assert_same, states, tear


def alter_one_byte(folder):
    path = states(folder)[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def alter_the_json(folder):
    path = states(folder)[-1].with_suffix(".json")
    path.write_text(path.read_text().replace("format", "fromat"))


def put_a_pickle_there(folder):
    for path in (states(folder)[-1], states(folder)[-1].with_suffix(".json")):
        path.write_bytes(pickle.dumps(Bomb(folder / "ran")))


@pytest.mark.parametrize("damage", [tear, alter_one_byte, alter_the_json, put_a_pickle_there])
def test_of_a_damaged_state_the_one_before_is_used(run, stopped, damage):
    whole, folder = run(SHORT), stopped()
    assert len(states(folder)) == 2
    damage(folder)
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert "the last state is damaged, and the run continues from the one before" in resumed.out
    assert "continues after 1 epoch of 4" in resumed.out
    assert not (folder / "ran").exists()
    assert_same(whole.folder, folder)


def test_where_no_state_is_whole_nothing_is_done(run, stopped):
    folder = stopped()
    for path in states(folder):
        path.write_bytes(b"")
    before = (folder / "output" / "metrics.csv").read_text()
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 2
    assert "no saved state is intact" in resumed.err
    assert resumed.err.count("\n") == 1
    assert (folder / "output" / "metrics.csv").read_text() == before


def test_a_run_of_another_version_is_refused_and_its_networks_are_tested(run, stopped):
    whole, folder = run(SHORT), stopped()
    for path in states(folder):
        metadata = read_checksummed(path.with_suffix(".json"))
        assert metadata["format"] == 2
        write_checksummed(path.with_suffix(".json"), {**metadata, "format": 1})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    resumed = run(f"--resume {folder.name}")
    assert (resumed.status, resumed.err.count("\n")) == (2, 1)
    message = "was interrupted in another version: its state has the format 1, and this version reads 2; continue with"
    assert f"--resume: {folder} {message} its own code, in {folder}/codebase, or call its command again" in resumed.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for one, name in ((folder, "last"), (whole.folder, "LogisticRegression_finished")):
        assert read_checksummed(one / "models" / f"{name}.json")["format"] == 1
        tested = run(f"--eval --checkpoint_name {one.name} --checkpoint_model {name} {QUICK}")
        assert tested.status == 0, tested.err
    assert tested.results["test_accuracy"] == whole.results["test_accuracy"]


def test_a_run_of_the_first_versions_without_a_state_begins_anew(run, stopped):
    command = f"--model LeNet300 --outer_layer_pruning --prune_criterion SNIPit --epochs 4 {SMALL}"
    whole, folder = run(command), stopped(command)
    shutil.rmtree(folder / "state")
    path = folder / "output" / "arguments.json"
    recorded = read_checksummed(path)
    # Their criteria kept the names of their axes to themselves.
    write_checksummed(path, {**recorded, "prune_schedule": None, "prune_moment": None, "pruning_rate": 0.0})
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert "it starts from scratch" in resumed.out
    assert_same(whole.folder, folder)


def test_one_altered_byte_of_its_arguments_is_found(run, stopped):
    folder = stopped()
    path = folder / "output" / "arguments.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.002', '"learning_rate": 0.003'))
    resumed = run(f"--resume {folder.name}")
    assert (resumed.status, resumed.err.count("\n")) == (2, 1)
    assert f"{path} cannot be read: it is incomplete, or was altered" in resumed.err
    path.write_bytes(pickle.dumps(Bomb(folder / "ran")))
    resumed = run(f"--resume {folder.name}")
    assert (resumed.status, resumed.err.count("\n")) == (2, 1)
    assert f"{path} cannot be read" in resumed.err
    assert not (folder / "ran").exists()


def test_what_cannot_be_resumed_is_one_line(run, stopped, tmp_path):
    folder = stopped()
    finished = run(f"--model LogisticRegression --epochs 1 --N 64 {QUICK}").folder
    evaluated = run(f"--eval --checkpoint_name {finished.name} {QUICK}").folder
    (tmp_path / "results" / "strange" / "output").mkdir(parents=True)
    (tmp_path / "results" / "strange" / "output" / "arguments.json").write_text("{}")
    (tmp_path / "results" / "strange" / "output" / "log.txt").write_text("")
    (tmp_path / "results" / "early" / "codebase").mkdir(parents=True)
    for words, message in (
        (f"--resume {folder.name} --epochs 9", "--epochs cannot be combined with --resume"),
        (f"--resume {folder.name} --run_name other", "--run_name cannot be combined with --resume"),
        (f"--resume {folder.name} --seed=1,2", "--seed cannot be combined with --resume"),
        (f"--resume {folder.name} --save_freq -1", "--save_freq: -1 is out of range"),
        (f"--resume {finished.name}", "has finished: there is nothing to continue"),
        ("--resume strange", "arguments.json cannot be read: these are not the arguments of a run"),
        (f"--resume {evaluated.name}", "has finished"),
        ("--resume early", "early was interrupted before it began: run its command again"),
        (f"--resume {folder.name[:-1]}", f"there is no run folder '{folder.name[:-1]}'"),
        (f"--resume {'x' * 5000}", "there is no run folder 'xxx"),
        ("--resume", "--resume: expected one argument"),
    ):
        outcome = run(words)
        assert outcome.status == 2, words
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
    resumed = run("--resume latest --save_freq 1 --save_minutes 5 --device cpu")
    assert resumed.status == 0, resumed.err
    assert (folder / "models" / "LogisticRegression_epoch_3.json").exists()
    assert "there is no interrupted run" in run("--resume latest").err


def test_a_run_that_is_still_going_is_left_alone(tmp_path):
    command = f"--model LogisticRegression --epochs 100000 {SMALL} --results_dir {tmp_path}"
    words = [sys.executable, "main.py", *command.split()]
    process = subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    for name, message in (
        (next(tmp_path.iterdir()), "is still running, in another process"),
        ("latest", "there is no"),
    ):
        words = [sys.executable, "main.py", "--resume", name, "--results_dir", tmp_path]
        second = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, timeout=200)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert message in second.stderr
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)
    assert process.returncode == 143


def test_a_smoke_run_is_not_the_latest_that_was_interrupted(tmp_path):
    for name, smoke in (("real", False), ("tried", True)):
        (tmp_path / name / "output").mkdir(parents=True)
        write_checksummed(tmp_path / name / "output" / "arguments.json", {"explicit": [], "smoke": smoke})
        (tmp_path / name / "output" / "log.txt").touch()
    assert find_interrupted(tmp_path, "latest") == tmp_path / "real"
    assert find_interrupted(tmp_path, "tried") == tmp_path / "tried"
