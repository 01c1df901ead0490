"""A run whose folder cannot be written any more goes on, and loses nothing that it computed."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from secateur.trainers.DefaultTrainer import DefaultTrainer
from tests.commands import ROOT
from tests.resuming.interruptions import SHORT, SMALL, without_times


def test_a_disk_that_is_full_for_a_while_costs_nothing_that_was_computed(run, monkeypatch):
    whole = run(SHORT)
    fsync, finished = os.fsync, DefaultTrainer.conclude

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def begin(self, inputs, targets):
        if self.pruner.step == 5:
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
    assert run_.out.count("cannot be written; the run continues and tries again: No space left on device") == 1
    (notice,) = run_.results["notices"]
    assert "No space left on device" in notice
    ours = {**run_.results, "notices": []}
    assert without_times(ours) == without_times(whole.results)


def test_a_folder_that_vanishes_is_made_again(run, monkeypatch, tmp_path):
    whole = run(SHORT)
    train_batch = DefaultTrainer.train_batch

    def vanish(self, inputs, targets):
        if self.pruner.step == 5:
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
    from secateur.runs import files

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    write = files.write_atomically

    def full(path, content):
        if path.suffix == ".safetensors" and not (there_is_room and "room" in path.parts):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return write(path, content)

    monkeypatch.setattr("secateur.runs.tensor_file.write_atomically", full)
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
    from secateur.runs import files

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    write, unlink, finished = files.write_atomically, Path.unlink, DefaultTrainer.conclude
    error = OSError(errno.EROFS, "Read-only file system")

    def read_only(path, content):
        if "room" not in path.parts:
            raise error
        return write(path, content)

    def stays(path, **options):
        if path.name.startswith("last"):
            raise error
        unlink(path, **options)

    def conclude(self):
        monkeypatch.setattr("secateur.runs.tensor_file.write_atomically", read_only)
        monkeypatch.setattr(files, "write_atomically", read_only)
        monkeypatch.setattr(Path, "unlink", stays)
        return finished(self)

    monkeypatch.setattr(DefaultTrainer, "conclude", conclude)
    made = run(f"--model LogisticRegression --epochs 1 {SMALL}")
    assert made.status == 0, made.err
    assert made.out.count("cannot be written; the run continues and tries again: Read-only file system") == 1
    folder = next((tmp_path / "room").iterdir())
    assert load_file(folder / "LogisticRegression_finished.safetensors")
    assert json.loads((folder / "LogisticRegression_finished.json").read_text())["epoch"] == 1


def test_files_that_may_not_grow_end_the_run_at_its_end_alone(tmp_path):
    code = (
        "import resource, sys; from secateur import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); sys.exit(cli.main(sys.argv[1:]))"
    )
    command = f"--model LeNet300 --epochs 2 {SMALL} --results_dir {tmp_path / 'results'}"
    words = [sys.executable, "-c", code, *command.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, timeout=200, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("cannot be written; the run continues and tries again: File too large") == 1
    assert "epoch   2" in done.stdout
    assert done.stderr.startswith("error: the finished network could be written neither to")
    assert done.stderr.count("\n") == 1
