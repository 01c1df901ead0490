"""A run that is interrupted and goes on ends as one that was not, bit for bit."""

import csv
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUICK, results
from tests.malice import Bomb
from trainers.DefaultTrainer import DefaultTrainer

ROOT = Path(__file__).parent.parent
#: Four steps an epoch.
SMALL = f"--N 64 --batch_size 16 --save_minutes 0 --lr_schedule cosine {QUICK}"
WEIGHTS = "--model LeNet300 --outer_layer_pruning --pruning_limit 0.8"
CHANNELS = "--model LeNet5 --pruning_limit 0.5 --snip_steps 1"
#: Command, and the steps after which the run is interrupted: within epochs, at their ends, before the first.
RUNS = {
    "before": (f"{WEIGHTS} --prune_criterion SNIP --grad_noise 0.01 --epochs 4", (0, 9)),
    "dense": ("--model MLP5 --hidden_dim 16 --optimizer SGD --epochs 4 --tuning --eval_freq 0", (2, 12)),
    "rounds": (f"{WEIGHTS} --prune_criterion IMP --snip_steps 2 --enable_rewinding --rewind_to 1 --epochs 5", (4, 10)),
    "rewound to the start": (f"{WEIGHTS} --pruner IMP --snip_steps 2 --rewind_weights_only --enable_rewinding "
                             "--epochs 4", (6,)),
    "multishot": (f"{WEIGHTS} --pruner mag --experiment multishot --pre_epochs 1 --snip_steps 3 --epochs 2", (5, 13)),
    "gradual": (f"{WEIGHTS} --pruner GradualMagnitude --epochs 5 --optimizer RMSPROP", (6, 13)),
    "values come back": (f"{WEIGHTS} --pruner MovementPruning --epochs 5", (6, 14)),
    "SET": (f"{WEIGHTS} --pruner SET --epochs 5", (1, 10)),
    "within epochs": (f"{WEIGHTS} --pruner RigL --update_steps 3 --epochs 5", (7, 13)),
    "after": (f"{WEIGHTS} --pruner mag --prune_moment after --snip_steps 2 --prune_schedule linear --epochs 3", (11,)),
    "threshold": (f"{WEIGHTS} --hoyer_square --hoyer_threshold 0.02 --prune_delay 1 --epochs 3", (6, 10)),
    "drawn anew": (f"{WEIGHTS} --pruner mag --prune_moment during --prune_delay 2 --reinitialise --shuffle_masks "
                   "--epochs 4", (9,)),
    "channels": (f"{CHANNELS} --pruner SNAPitDuring --epochs 5 --optimizer SGD --track_weights", (6, 13)),
    "channels, rewound": (f"{CHANNELS} --pruner SNAP --prune_moment rounds --enable_rewinding --rewind_to 1 "
                          "--prune_schedule linear --snip_steps 2 --epochs 4 --channels_last", (6, 10)),
    "channels by a threshold": (f"{CHANNELS} --group_hoyer_square --hoyer_threshold 0.05 --prune_delay 1 --epochs 3",
                                (6, 10)),
    "both": (f"{CHANNELS} --pruner CNIPitDuring --epochs 5", (6,)),
    "L0": ("--model LeNet300 --l0 --l0_reg 10 --epochs 4 --beta_ema 0.9", (0, 9)),
    "L0 and weights": (f"{WEIGHTS} --pruner mag --prune_moment during --train_scheme L0Trainer --epochs 4", (6,)),
    "Tick-Tock": ("--model MLP5 --hidden_dim 16 --train_scheme TickTock --pruning_limit 0.5 --snip_steps 3 "
                  "--tick_epochs 1 --tock_epochs 1 --epochs 7", (6, 10, 24)),
    "LBFGS": ("--model LogisticRegression --optimizer LBFGS --learning_rate 0.1 --epochs 3", (5,)),
    "scaled": (f"{WEIGHTS} --pruner mag --precision fp16 --epochs 3", (5,)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_version(monkeypatch):
    """Let the code be of one version, whatever is committed meanwhile."""
    monkeypatch.setattr("utils.run.folder._git", lambda root, *command: "1234567")


def stop_at(monkeypatch, steps, error=KeyboardInterrupt):
    """Interrupt the next run within step number `steps`; returns what lets the one after that pass."""
    train_batch = DefaultTrainer.train_batch
    done = 0

    def interrupted(self, inputs, targets):
        nonlocal done
        if done == steps:
            raise error
        done += 1
        train_batch(self, inputs, targets)

    monkeypatch.setattr(DefaultTrainer, "train_batch", interrupted)
    return lambda: monkeypatch.setattr(DefaultTrainer, "train_batch", train_batch)


def without_times(value):
    """Leave out what no two runs have alike, and how many bytes it takes to write that down."""
    if not isinstance(value, dict):
        return value
    apart = ("seconds", "latency", "samples_per_second", "checkpoint_bytes", "crc32")
    return {name: without_times(item) for name, item in value.items() if not name.startswith(apart)}


def assert_same(folder, other):
    """All that was computed is alike: results, metrics, every checkpoint, the statistics of weights."""
    assert not (other / "state").exists()
    assert without_times(results(folder)) == without_times(results(other))
    rows = [
        [without_times(row) for row in csv.DictReader((one / "output" / "metrics.csv").read_text().splitlines())]
        for one in (folder, other)
    ]
    assert rows[0] == rows[1]
    files = [sorted(path.relative_to(one) for path in one.rglob("*.safetensors")) for one in (folder, other)]
    assert files[0] == files[1]
    for file in files[0]:
        tensors, others = load_file(folder / file), load_file(other / file)
        assert tensors.keys() == others.keys(), file
        different = [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])]
        assert not different, (file, different)


@pytest.mark.parametrize("name", RUNS)
def test_it_ends_as_if_it_had_not_been_interrupted(run, monkeypatch, name):
    command, moments = RUNS[name]
    whole = run(f"{command} {SMALL}")
    assert whole.status == 0, whole.err
    for steps in moments:
        go_on = stop_at(monkeypatch, steps)
        stopped = run(f"{command} {SMALL}")
        go_on()
        assert stopped.status == 130, stopped.err
        resumed = run(f"--resume {stopped.folder.name}")
        assert (resumed.status, resumed.folder) == (0, None), resumed.err
        assert_same(whole.folder, stopped.folder)


SHORT = f"--model LogisticRegression --epochs 4 {SMALL}"


@pytest.fixture
def stopped(run, monkeypatch):
    """The folder of a run that was interrupted in its third epoch."""

    def stop(command=SHORT):
        go_on = stop_at(monkeypatch, 9)
        folder = run(command).folder
        go_on()
        return folder

    return stop


def states(folder):
    return sorted((folder / "state").glob("*.safetensors"))


def tear(folder):
    path = states(folder)[-1]
    path.write_bytes(path.read_bytes()[:-100])


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
    assert "the last state is not whole, and the run goes on from the one before" in resumed.out
    assert "goes on after 1 epoch of 4" in resumed.out
    assert not (folder / "ran").exists()
    assert_same(whole.folder, folder)


def test_where_no_state_is_whole_nothing_is_done(run, stopped):
    folder = stopped()
    for path in states(folder):
        path.write_bytes(b"")
    before = (folder / "output" / "metrics.csv").read_text()
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 2
    assert "no state of the run is whole" in resumed.err
    assert resumed.err.count("\n") == 1
    assert (folder / "output" / "metrics.csv").read_text() == before


def test_one_altered_byte_of_its_arguments_is_found(run, stopped):
    folder = stopped()
    path = folder / "output" / "arguments.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.002', '"learning_rate": 0.003'))
    resumed = run(f"--resume {folder.name}")
    assert (resumed.status, resumed.err.count("\n")) == (2, 1)
    assert f"{path} cannot be read: it is not whole, or was altered" in resumed.err
    path.write_bytes(pickle.dumps(Bomb(folder / "ran")))
    resumed = run(f"--resume {folder.name}")
    assert (resumed.status, resumed.err.count("\n")) == (2, 1)
    assert f"{path} cannot be read" in resumed.err
    assert not (folder / "ran").exists()


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
    assert "no state had been written before the run was interrupted: it begins anew" in resumed.out
    assert_same(whole.folder, folder)


def test_what_cannot_be_resumed_is_one_line(run, stopped, tmp_path):
    folder = stopped()
    finished = run(f"--model LogisticRegression --epochs 1 --N 64 {QUICK}").folder
    evaluated = run(f"--eval --checkpoint_name {finished.name}").folder
    (tmp_path / "results" / "strange" / "output").mkdir(parents=True)
    (tmp_path / "results" / "strange" / "output" / "arguments.json").write_text("{}")
    (tmp_path / "results" / "strange" / "output" / "log.txt").write_text("")
    (tmp_path / "results" / "early" / "codebase").mkdir(parents=True)
    for words, message in (
        (f"--resume {folder.name} --epochs 9", "--epochs cannot stand beside --resume"),
        (f"--resume {folder.name} --run_name other", "--run_name cannot stand beside --resume"),
        (f"--resume {folder.name} --seed=1,2", "--seed cannot stand beside --resume"),
        (f"--resume {folder.name} --save_freq -1", "--save_freq: -1 is out of range"),
        (f"--resume {finished.name}", "has finished: there is nothing to go on with"),
        ("--resume strange", "arguments.json cannot be read: these are no arguments of a run"),
        (f"--resume {evaluated.name}", "has finished"),
        ("--resume early", "early had not begun when it was interrupted: call its command again"),
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


def test_other_code_than_before_is_noticed(run, stopped, monkeypatch):
    folder = stopped()
    monkeypatch.setattr("utils.run.folder._git", lambda root, *command: "89abcde")
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


def test_a_disk_that_is_full_for_a_while_costs_nothing_that_was_computed(run, monkeypatch):
    whole = run(SHORT)
    fsync, finished = os.fsync, DefaultTrainer.conclude

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def begin(self, inputs, targets):
        if self.step == 5:
            monkeypatch.setattr(os, "fsync", full)
        train_batch(self, inputs, targets)

    def conclude(self):
        monkeypatch.setattr(os, "fsync", fsync)
        return finished(self)

    train_batch = DefaultTrainer.train_batch
    monkeypatch.setattr(DefaultTrainer, "train_batch", begin)
    monkeypatch.setattr(DefaultTrainer, "conclude", conclude)
    run_ = run(SHORT)
    assert run_.status == 0, run_.err
    assert run_.out.count("cannot be written, and the run goes on and tries again: No space left on device") == 1
    (notice,) = run_.results["notices"]
    assert "No space left on device" in notice
    ours = {**run_.results, "notices": []}
    assert without_times(ours) == without_times(whole.results)


def test_a_folder_that_vanishes_is_made_again(run, monkeypatch, tmp_path):
    whole = run(SHORT)
    train_batch = DefaultTrainer.train_batch

    def vanish(self, inputs, targets):
        if self.step == 5:
            shutil.rmtree(self.run.folder.path)
        train_batch(self, inputs, targets)

    monkeypatch.setattr(DefaultTrainer, "train_batch", vanish)
    made = run(f"{SHORT} --run_name gone")
    assert made.status == 0, made.err
    assert load_file(made.folder / "models" / "LogisticRegression_finished.safetensors")
    assert without_times({**made.results, "notices": []}) == without_times(whole.results)
    assert (made.folder / "output" / "metrics.csv").read_text().count("\n") == 5
    log = (made.folder / "output" / "log.txt").read_text()
    assert ["epoch   1" in log, "epoch   2" in log, "epoch   4" in log] == [False, True, True]


@pytest.mark.parametrize("there_is_room", [True, False])
def test_a_network_that_cannot_be_written_into_its_folder_is_written_elsewhere(
    run, monkeypatch, tmp_path, there_is_room
):
    from utils.run import files

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    write = files.write_atomically

    def full(path, content):
        if path.suffix == ".safetensors" and not (there_is_room and "room" in path.parts):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        write(path, content)

    monkeypatch.setattr("utils.run.checkpoint.write_atomically", full)
    made = run(f"--model LogisticRegression --epochs 1 {SMALL}")
    if there_is_room:
        assert made.status == 0, made.err
        assert load_file(tmp_path / "room" / made.folder.name / "LogisticRegression_finished.safetensors")
        assert "the finished network is" in made.out
    else:
        assert made.status == 2
        assert "the finished network could be written neither to" in made.err
        assert made.err.count("\n") == 1


def test_a_disk_that_is_read_only_at_the_end_loses_no_network(run, monkeypatch, tmp_path):
    from utils.run import files

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    write, unlink, finished = files.write_atomically, Path.unlink, DefaultTrainer.conclude
    error = OSError(errno.EROFS, "Read-only file system")

    def read_only(path, content):
        if "room" not in path.parts:
            raise error
        write(path, content)

    def stays(path, **options):
        if path.name.startswith("last"):
            raise error
        unlink(path, **options)

    def conclude(self):
        monkeypatch.setattr("utils.run.checkpoint.write_atomically", read_only)
        monkeypatch.setattr(files, "write_atomically", read_only)
        monkeypatch.setattr(Path, "unlink", stays)
        return finished(self)

    monkeypatch.setattr(DefaultTrainer, "conclude", conclude)
    made = run(f"--model LogisticRegression --epochs 1 {SMALL}")
    assert made.status == 0, made.err
    assert made.out.count("cannot be written, and the run goes on and tries again: Read-only file system") == 1
    folder = next((tmp_path / "room").iterdir())
    assert load_file(folder / "LogisticRegression_finished.safetensors")
    assert json.loads((folder / "LogisticRegression_finished.json").read_text())["epoch"] == 1


def test_files_that_may_not_grow_end_the_run_at_its_end_alone(tmp_path):
    code = (
        "import resource, sys, main; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "sys.exit(main.main(sys.argv[1:]))"
    )
    command = f"--model LeNet300 --epochs 2 {SMALL} --results_dir {tmp_path / 'results'}"
    words = [sys.executable, "-c", code, *command.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, timeout=200, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("cannot be written, and the run goes on and tries again: File too large") == 1
    assert "epoch   2" in done.stdout
    assert done.stderr.startswith("error: the finished network could be written neither to")
    assert done.stderr.count("\n") == 1


KILLED = {
    "rounds": f"{RUNS['rounds'][0].replace('--epochs 5', '--epochs 60')} --prune_freq 20 --optimizer SGD",
    "channels": f"{RUNS['channels'][0].replace('--epochs 5', '--epochs 25')} --prune_freq 6",
    "L0": f"{RUNS['L0'][0].replace('--epochs 4', '--epochs 40')}",
    "Tick-Tock": f"{RUNS['Tick-Tock'][0].replace('--epochs 7', '--epochs 25')} --tick_epochs 4 --tock_epochs 4",
}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [("SIGKILL", "9"), ("SIGTERM", str(143 << 8))])
@pytest.mark.parametrize("name", KILLED)
def test_a_run_that_is_killed_five_times_ends_as_if_it_had_not_been(tmp_path, name, number, status):
    words = [sys.executable, "tests/killed_runs.py", tmp_path, "0", "5", number, f"{KILLED[name]} {SMALL}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f": {status}\n") == 5
    for killed in tmp_path.glob("*_killed*"):
        assert_same(next(tmp_path.glob("*_whole")), killed)
