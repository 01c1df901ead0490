"""Runs that cannot begin, that fail and that are interrupted: what they say and leave, and what ends none."""

import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from secateur import cli
from tests.commands import QUICK, ROOT, results


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--model LogisticRegression --prune_criterion SNIP", "no weights can be pruned"),
        ("--model LeNet300 --prune_criterion SNIPitDuring --pruning_limit 0.9 --epochs 3", "need at least --epochs 7"),
        ("--model LeNet300 --hidden_dim 5", "--hidden_dim: LeNet300 has no hidden width"),
        ("--model torchvision:vgg11", "torchvision:vgg11 does not work on images of 1x8x8"),
        ("--model LeNet300 --optimizer SparseAdam", "--optimizer SparseAdam cannot train"),
        ("--model LeNet300 --N 5000", "--N 5000: the data set has 1437 training images only"),
        ("--model LeNet300 --output_dim 5", "--output_dim 5 is less than the 10 classes"),
        ("--model LeNet300 --device cuda:7", "--device cuda:7"),
        ("--model MLP5 --batch_size 1", "--batch_size 1"),
    ],
)
def test_parts_that_do_not_fit_are_one_line_with_status_2_and_leave_no_folder(run, command, message):
    status, _, err, folder = run(command)
    assert (status, folder) == (2, None)
    assert message in err
    assert err.count("\n") == 1


def test_a_results_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status = cli.main(["--model", "LeNet300", "--results_dir", str(tmp_path / "file")])
    assert status == 2
    assert "no run folder can be made there" in capsys.readouterr().err


def test_a_loss_that_explodes_stops_the_run_with_status_2(run):
    status, _, err, folder = run(
        f"--model LeNet300 --epochs 3 --optimizer SGD --learning_rate 1e9 --grad_clip 0 {QUICK}"
    )
    assert status == 2
    assert "the loss became NaN or infinite in epoch 1, batch" in err
    assert "the loss became NaN" in (folder / "output" / "log.txt").read_text()
    assert not (folder / "output" / "results.json").exists()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_checkpoint_metrics_and_log(tmp_path, sent, status):
    command = f"main.py --model LeNet300 --epochs 100000 {QUICK} --results_dir {tmp_path}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, *command.split()], cwd=ROOT, text=True, **pipes)
    for line in process.stdout:
        if line.startswith("epoch   3"):
            break
    process.send_signal(sent)
    process.stdout.read()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == status
    process.stdout.close()
    process.stderr.close()
    assert "Traceback" not in errors
    folder = next(tmp_path.iterdir())
    assert load_file(folder / "models" / "last.safetensors")
    assert len((folder / "output" / "metrics.csv").read_text().splitlines()) >= 4
    assert "the run stopped early" in (folder / "output" / "log.txt").read_text()


def test_a_python_without_the_requirements_is_one_line(tmp_path):
    from secateur.runs.folder import copy_sources, sources_of

    copy_sources(sources_of(), tmp_path)
    bare = subprocess.run([sys.executable, "-S", "main.py", "--list"], cwd=tmp_path, capture_output=True, text=True)
    assert bare.returncode == 2
    assert bare.stderr.count("\n") == 1
    assert "is not installed: run `make demo`" in bare.stderr


def test_a_bug_leaves_its_traceback_in_the_log(run, tmp_path, monkeypatch):
    def broken(self):
        raise KeyError("a bug")

    monkeypatch.setattr("secateur.trainers.DefaultTrainer.DefaultTrainer.train_epoch", broken)
    with pytest.raises(KeyError):
        run(f"--model LeNet300 --epochs 1 --N 64 {QUICK}")
    log = next(tmp_path.glob("results/*/output/log.txt")).read_text()
    assert "ended by KeyError: 'a bug'\nTraceback (most recent call last):" in log
    assert "in broken" in log


def test_a_picture_that_cannot_be_drawn_ends_nothing_but_a_full_disk_is_told(run, monkeypatch):
    command = f"--model LogisticRegression --epochs 1 --N 64 {QUICK.replace('--disable_curves', '')}"

    def fail(error):
        def draw(*_):
            raise error

        monkeypatch.setattr("secateur.utils.drawing.curves", draw)

    fail(ValueError("nothing to draw"))
    status, out, _, folder = run(command)
    assert status == 0
    assert "the observer secateur:Pictures failed at run_finished" in out
    assert results(folder)["test_accuracy"] > 0
    fail(OSError(28, "No space left on device"))
    status, out, _, folder = run(command)
    assert status == 0
    assert f"{folder} cannot be written; the run continues and tries again: No space left on device" in out


@pytest.mark.parametrize(
    "writer", ["secateur.runs.log.FileLog.flush", "tensorboard.summary.writer.record_writer.RecordWriter.write"]
)
def test_a_log_or_event_file_that_cannot_be_written_ends_nothing(run, monkeypatch, writer):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, full)
    status, out, err, folder = run(f"--model LogisticRegression --epochs 3 --N 64 {QUICK}")
    assert (status, err) == (0, "")
    # The terminal is 120 columns wide.
    assert out.count("cannot be written; the run continues and tries again") == 1
    assert any("No space left on device" in notice for notice in results(folder)["notices"])


@pytest.mark.parametrize("command", ["--help", f"--model LogisticRegression --epochs 50 --N 64 {QUICK}"])
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path, command):
    words = [sys.executable, "-u", "main.py", *command.split(), "--results_dir", str(tmp_path)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 141
    process.stderr.close()
