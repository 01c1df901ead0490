"""main.py as a user calls it: whole runs, their folders, and what it answers."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import main
from tests.commands import QUICK, results

ROOT = Path(__file__).parent.parent


def call(command, folder=ROOT, **options):
    """Run main.py in a process of its own."""
    return subprocess.run(
        [sys.executable, "main.py", *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def test_a_run_leaves_everything_in_its_folder_and_can_be_repeated_from_there(tmp_path):
    command = "--model LeNet300 --prune_criterion SNIPit --pruning_limit 0.9 --outer_layer_pruning --epochs 2"
    command += f" --results_dir {tmp_path}"
    first = call(f"{command} --run_name first")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "pruned to 0.9: 5,020 of 50,200 competing weights kept" in first.stdout
    assert "weight sparsity" in first.stdout
    folder = next(tmp_path.glob("*_first"))

    found = results(folder)
    wanted = (
        "test_accuracy test_loss train_accuracy weight_sparsity node_sparsity parameters_dense parameters_kept "
        "flops_dense flops_effective flops_training_total epochs seconds_pruning seconds_training seed"
    )
    assert set(wanted.split()) <= found.keys()
    assert found["weight_sparsity"] == pytest.approx(0.9, abs=1e-9)
    assert found["test_accuracy"] > 0.5
    rows = list(csv.DictReader((folder / "output" / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["test_accuracy"]) == found["test_accuracy"]
    environment = json.loads((folder / "output" / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert json.loads((folder / "output" / "arguments.json").read_text())["pruning_limit"] == 0.9
    assert "pruned to 0.9" in (folder / "output" / "log.txt").read_text()
    assert f"python3 main.py {command} --run_name first" in (folder / "output" / "calling_command.txt").read_text()
    pictures = {"curves", "saliency", "confusion", "layers", "weights"}
    assert {path.stem for path in (folder / "output").glob("*.png")} == pictures
    assert list((folder / "progress").iterdir())

    again = call(f"{command} --run_name again", folder / "codebase")
    assert again.returncode == 0, again.stderr
    tensors = [
        load_file(path / "models" / "LeNet300_finished.safetensors")
        for path in (folder, next(tmp_path.glob("*_again")))
    ]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


def test_the_event_files_hold_scalars_histograms_sparsity_and_graph(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    *_, folder = run(
        "--model LeNet300 --prune_criterion SNIP --pruning_limit 0.75 --outer_layer_pruning --epochs 2 --N 64"
    )
    events = EventAccumulator(str(folder / "progress"))
    events.Reload()
    tags = events.Tags()
    assert tags["graph"]
    assert {"train_loss", "test_accuracy", "weight_sparsity", "sparsity/classifier"} <= set(tags["scalars"])
    assert {"weights/classifier", "weights/features.1"} <= set(tags["histograms"])
    assert [event.step for event in events.Scalars("test_loss")] == [1, 2]
    layers = results(folder)["layer_densities"]
    assert events.Scalars("sparsity/features.3")[-1].value == pytest.approx(1 - layers["features.3"])


def test_a_switched_off_picture_is_not_drawn(run):
    status, out, _, folder = run(f"--model LeNet300 --prune_criterion SNIP --epochs 1 --N 64 {QUICK}")
    assert status == 0
    assert "SNIP, 1 pruning event to sparsity 0.5; 1 epoch, seed 333" in out
    assert [path.name for path in (folder / "output").glob("*.png")] == ["curves.png"]


def test_weights_are_drawn_and_tracked_as_often_as_asked(run):
    status, _, _, folder = run(
        "--model LogisticRegression --epochs 4 --N 64 --plot_weights_freq 2 --track_weights --batch_size 64 "
        "--optimizer SGD --learning_rate 0.1"
    )
    assert status == 0
    names = {path.name for path in (folder / "output").glob("weights*.png")}
    assert names == {"weights_epoch_2.png", "weights_epoch_4.png", "weights.png"}
    statistics = load_file(folder / "output" / "weight_statistics.safetensors")
    assert statistics["flips/classifier"].sum() > 0
    # four steps from a mean that starts at the initial weight: the mean lags behind the final weight
    final = load_file(folder / "models" / "LogisticRegression_finished.safetensors")["classifier.weight"]
    assert 0 < (statistics["mean/classifier"] - final).abs().max() < 1
    assert (statistics["variance/classifier"] >= 0).all()


def test_a_finished_network_is_tested_by_its_run_alone(run):
    *_, trained = run(f"--model MLP5 --hidden_dim 32 --prune_criterion SNIP --epochs 2 --input_dim 1 10 10 {QUICK}")
    status, out, _, tested = run("--eval --checkpoint_name latest")
    assert status == 0
    assert results(tested)["test_accuracy"] == results(trained)["test_accuracy"]
    assert results(tested)["weight_sparsity"] == results(trained)["weight_sparsity"]
    assert len(results(tested)["class_accuracies"]) == 10
    assert "MLP5 on DIGITS" in out
    arguments = json.loads((tested / "output" / "arguments.json").read_text())
    assert (arguments["checkpoint_name"], arguments["batch_size"]) == (str(trained), 64)
    assert f"--checkpoint_name={trained}\n" in (tested / "output" / "calling_command.txt").read_text()
    status, _, err, folder = run("--eval --checkpoint_name latest --model LeNet300")
    assert (status, folder) == (2, None)
    assert "is of another network: its model is MLP5, not LeNet300" in err


def test_several_checkpoints_are_tested_side_by_side(run):
    common = f"--data_set RUBBISH --epochs 1 --N 64 {QUICK}"
    first = run(f"--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --run_name sparse {common}")
    second = run(f"--model LogisticRegression --run_name small {common}")
    tested = run(f"--eval --checkpoint_name {first.folder.name},{second.folder.name}")
    assert tested.status == 0, tested.err
    with (tested.folder / "output" / "compared.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["sparse", "small"]
    for row, trained in zip(rows, (first, second), strict=True):
        assert float(row["test_accuracy"]) == trained.results["test_accuracy"]
        assert float(row["weight_sparsity"]) == trained.results["weight_sparsity"]
        assert int(row["parameters_kept"]) == trained.results["parameters_kept"]
    assert tested.results["test_accuracy"] == first.results["test_accuracy"]
    assert tested.results["compared"]["small"]["model"] == "LogisticRegression"
    assert "2 networks on RUBBISH" in tested.out

    other = run(f"--model LogisticRegression --data_set DIGITS --epochs 1 --N 64 {QUICK}")
    refused = run(f"--eval --checkpoint_name {first.folder.name},{other.folder.name}")
    assert refused.status == 2
    assert "compares networks on the same images: the data_set of" in refused.err
    trains = run(f"--checkpoint_name {first.folder.name},{second.folder.name}")
    assert "training starts from one checkpoint, and these are 2" in trains.err


def test_training_goes_on_from_a_checkpoint_with_its_masks(run):
    *_, first = run(f"--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --epochs 1 --N 64 {QUICK}")
    status, _, _, second = run(f"--model LeNet300 --checkpoint_name {first.name} --epochs 1 --N 64 {QUICK}")
    assert status == 0
    assert results(second)["weight_sparsity"] == results(first)["weight_sparsity"] > 0.5


def test_a_criterion_dropped_into_the_folder_runs_by_name(tmp_path):
    from utils.run.folder import copy_sources

    copy_sources(ROOT, tmp_path / "copy")
    (tmp_path / "copy" / "criterions" / "SmallestFirst.py").write_text(
        "from secateur import Criterion, number\n"
        "class SmallestFirst(Criterion):\n"
        "    '''Keeps large powers.'''\n"
        "    @staticmethod\n"
        "    def add_arguments(parser):\n"
        "        parser.add_argument('--my_power', type=number(float, 0), default=1.0, help='a power')\n"
        "    def scores(self, batches):\n"
        "        return {name: weight.abs() ** self.arguments.my_power for name, weight in self.weights.items()}\n"
    )
    (tmp_path / "copy" / "criterions" / "Broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "copy" / "criterions" / "Empty.py").write_text("")
    command = f"--model LeNet300 --epochs 1 --N 64 {QUICK} --prune_criterion SmallestFirst --my_power 2"
    good = call(command, tmp_path / "copy")
    assert good.returncode == 0, good.stderr
    folder = next((tmp_path / "copy" / "gitignored" / "results").iterdir())
    assert results(folder)["prune_criterion"] == "SmallestFirst"
    assert (folder / "codebase" / "criterions" / "SmallestFirst.py").exists()
    for name, message in (
        ("Broken", "Broken.py cannot be imported: ModuleNotFoundError"),
        ("Empty", "holds no class Empty"),
    ):
        bad = call(f"--model LeNet300 --prune_criterion {name}", tmp_path / "copy")
        assert bad.returncode == 2
        assert message in bad.stderr
        assert bad.stderr.count("\n") == 1
    assert len(list((tmp_path / "copy" / "gitignored" / "results").iterdir())) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--model LogisticRegression --prune_criterion SNIP", "no weights compete"),
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
    status = main.main(["--model", "LeNet300", "--results_dir", str(tmp_path / "file")])
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


@pytest.mark.parametrize(
    "command",
    ["--help", "--list", "--list criterions", "--version", "--prune_criterion SNIPit --help", "--epohcs 3"],
)
def test_questions_are_answered_without_importing_torch(command):
    code = (
        f"import sys, main; status = main.main({command.split()!r}); "
        "assert not {'torch', 'torchvision', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules); sys.exit(status)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == (2 if "epohcs" in command else 0), answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_list_shows_every_component(run, capsys):
    main.main(["--list"])
    out = capsys.readouterr().out
    for path in [*ROOT.glob("criterions/*.py"), *ROOT.glob("models/*.py"), *ROOT.glob("data_sets/*.py")]:
        if path.stem != "__init__":
            assert path.stem in out
            assert f"{path.parent.name}/{path.name}" in out


def test_runs_of_one_second_do_not_collide(tmp_path):
    command = [
        sys.executable,
        "main.py",
        *f"--model LogisticRegression --epochs 1 --N 64 {QUICK} --results_dir {tmp_path}".split(),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 3
    found = {json.dumps(results(folder)["test_accuracy"]) for folder in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 3
    assert len(found) == 1


def test_precision_compile_and_layout_flags_train(run):
    try:
        for flags in ("--precision bf16", "--channels_last", "--deterministic", "--lr_schedule onecycle"):
            status, _, err, folder = run(f"--model LeNet5 --epochs 4 --lr_schedule cosine {QUICK} {flags}")
            assert status == 0, err
            assert results(folder)["test_accuracy"] > 0.8
    finally:
        torch.use_deterministic_algorithms(False)


def test_without_masking_pruned_weights_come_back(run):
    pruning = "--model LeNet300 --prune_criterion rand --pruning_limit 0.9 --epochs 1 --N 64"
    held, free = (results(run(f"{pruning} {QUICK} {flag}")[-1]) for flag in ("", "--disable_masking"))
    assert held["weight_sparsity"] > 0.5
    assert free["weight_sparsity"] < held["weight_sparsity"] / 2


README = (ROOT / "README.md").read_text()


def test_the_readme_names_every_component():
    for kind in ("criterions", "models", "data_sets", "trainers", "testers", "losses"):
        for path in (ROOT / kind).glob("[A-Z]*.py"):
            assert path.stem in README


def test_the_example_of_the_readme_runs(tmp_path):
    from utils.run.folder import copy_sources

    copy_sources(ROOT, tmp_path)
    example = README.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "criterions" / "Guarded.py").write_text(example)
    assert len([line for line in example.splitlines() if line.strip()]) < 20
    done = call(
        f"--model LeNet300 --epochs 1 {QUICK} --prune_criterion Guarded --guard 0.3 --pruning_limit 0.9", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pruned to") == 7


def test_a_checkpoint_brings_its_data_set_and_its_classes(run):
    *_, trained = run(
        f"--model LogisticRegression --data_set RUBBISH --rubbish_images 50 --epochs 1 --output_dim 12 --pruner SNIP "
        f"--outer_layer_pruning {QUICK}"
    )
    status, _, err, tested = run(f"--eval --checkpoint_name {trained.name} --rubbish_images 20")
    assert status == 0, err
    assert results(tested)["data_set"] == "RUBBISH"
    facts = json.loads((trained / "models" / "LogisticRegression_finished.json").read_text())
    assert (facts["loss"], facts["seed"]) == ("CrossEntropy", 333)
    assert results(tested)["prune_criterion"] == "SNIP"


def test_a_checkpoint_brings_the_place_and_the_options_of_its_data(run, tmp_path):
    random = np.random.default_rng(0)
    parts = {f"x_{part}": random.integers(0, 256, (6, 3, 8, 3), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(6) % 2 for part in ("train", "test")}
    np.savez(tmp_path / "a.npz", **parts, **labels)
    command = f"--model LogisticRegression --data_set ARRAYS --data_dir {tmp_path / 'a.npz'} --axes NHWC --epochs 1"
    trained = run(f"{command} {QUICK}")
    assert trained.status == 0, trained.err
    tested = run(f"--eval --checkpoint_name {trained.folder.name}")
    assert tested.status == 0, tested.err
    assert tested.results["test_loss"] == trained.results["test_loss"]
    assert "ARRAYS as 3x3x8" in tested.out
    # What is typed goes over it.
    elsewhere = run(f"--eval --checkpoint_name {trained.folder.name} --data_dir {tmp_path}/b.npz")
    assert elsewhere.status == 2
    assert "b.npz" in elsewhere.err


def test_a_python_without_the_requirements_is_one_line(tmp_path):
    from utils.run.folder import copy_sources

    copy_sources(ROOT, tmp_path)
    bare = subprocess.run([sys.executable, "-S", "main.py", "--list"], cwd=tmp_path, capture_output=True, text=True)
    assert bare.returncode == 2
    assert bare.stderr.count("\n") == 1
    assert "is not installed: run `make demo`" in bare.stderr


def test_a_limit_without_a_criterion_is_noticed(run):
    _, out, _, folder = run(f"--model LeNet300 --pruning_limit 0.9 --epochs 0 --N 64 {QUICK}")
    assert "--pruning_limit has no effect with EmptyCrit" in out
    assert results(folder)["notices"]


def test_a_bug_leaves_its_traceback_in_the_log(run, tmp_path, monkeypatch):
    def broken(self):
        raise KeyError("a bug")

    monkeypatch.setattr("trainers.DefaultTrainer.DefaultTrainer.train_epoch", broken)
    with pytest.raises(KeyError):
        run(f"--model LeNet300 --epochs 1 --N 64 {QUICK}")
    log = next(tmp_path.glob("results/*/output/log.txt")).read_text()
    assert "ended by KeyError: 'a bug'\nTraceback (most recent call last):" in log
    assert "in broken" in log


def test_a_picture_that_cannot_be_drawn_ends_nothing_but_a_full_disk_is_told(run, monkeypatch):
    command = f"--model LogisticRegression --epochs 1 --N 64 {QUICK}"

    def fail(error):
        def draw(*_):
            raise error

        monkeypatch.setattr("utils.drawing.curves", draw)

    fail(ValueError("nothing to draw"))
    status, out, _, folder = run(command)
    assert status == 0
    assert "the observer secateur:Pictures failed at run_finished" in out
    assert results(folder)["test_accuracy"] > 0
    fail(OSError(28, "No space left on device"))
    status, out, _, folder = run(command)
    assert status == 0
    assert f"{folder} cannot be written, and the run goes on and tries again: No space left on device" in out


@pytest.mark.parametrize(
    "writer", ["utils.run.log.FileLog.flush", "tensorboard.summary.writer.record_writer.RecordWriter.write"]
)
def test_a_log_or_event_file_that_cannot_be_written_ends_nothing(run, monkeypatch, writer):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, full)
    status, out, err, folder = run(f"--model LogisticRegression --epochs 3 --N 64 {QUICK}")
    assert (status, err) == (0, "")
    # The terminal is 120 columns wide.
    assert out.count("cannot be written, and the run goes on") == 1
    assert any("No space left on device" in notice for notice in results(folder)["notices"])


@pytest.mark.parametrize("command", ["--help", f"--model LogisticRegression --epochs 50 --N 64 {QUICK}"])
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path, command):
    words = [sys.executable, "-u", "main.py", *command.split(), "--results_dir", str(tmp_path)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 141
    process.stderr.close()


def test_a_tester_may_return_its_own_figures_alone(run, monkeypatch):
    *_, trained = run(f"--model LogisticRegression --epochs 1 --N 64 {QUICK}")
    monkeypatch.setattr("testers.DefaultTester.DefaultTester.evaluate", lambda self: {"robustness": 0.5})
    status, out, err, tested = run(f"--eval --checkpoint_name {trained.name} {QUICK}")
    assert status == 0, err
    assert "LogisticRegression on DIGITS" in out
    found = results(tested)
    assert (found["robustness"], found["model"], found["test_accuracy"]) == (0.5, "LogisticRegression", None)
    monkeypatch.setattr("testers.DefaultTester.DefaultTester.evaluate", lambda self: 0.5)
    status, _, err, _ = run(f"--eval --checkpoint_name {trained.name} {QUICK}")
    assert status == 2
    assert "DefaultTester returns float instead of a dictionary" in err


def test_very_many_outputs_are_trained_and_tested(run):
    status, _, err, folder = run("--model LogisticRegression --epochs 1 --N 64 --output_dim 20000 --batch_size 32")
    assert status == 0, err
    status, _, err, _ = run(f"--eval --checkpoint_name {folder.name}")
    assert status == 0, err
