"""main.py as a user calls it: whole runs, their folders, and what it answers."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from secateur import cli
from tests.commands import QUICK, ROOT, call, results


def test_a_run_leaves_everything_in_its_folder_and_can_be_repeated_from_there(tmp_path):
    command = "--model LeNet300 --prune_criterion SNIPit --pruning_limit 0.9 --outer_layer_pruning --epochs 2"
    command += f" --results_dir {tmp_path}"
    first = call(f"{command} --run_name first")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "pruned to 0.9: 5,020 of 50,200 prunable weights kept" in first.stdout
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
    assert "SNIP, 1 pruning step to sparsity 0.5; 1 epoch, seed 333" in out
    assert [path.name for path in (folder / "output").glob("*.png")] == []


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


def test_a_criterion_dropped_into_the_folder_runs_by_name(tmp_path):
    from secateur.runs.folder import copy_sources, sources_of

    copy_sources(sources_of(), tmp_path / "copy")
    (tmp_path / "copy" / "criterions" / "SmallestFirst.py").write_text(
        "from secateur import Criterion, option\n"
        "class SmallestFirst(Criterion):\n"
        "    '''Keeps large powers.'''\n"
        "    my_power: float = option(1.0, 'a power', low=0)\n"
        "    def scores(self, batches):\n"
        "        return {name: weight.abs() ** self.my_power for name, weight in self.weights.items()}\n"
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
    "command",
    ["--help", "--list", "--list criterions", "--version", "--prune_criterion SNIPit --help", "--epohcs 3"],
)
def test_questions_are_answered_without_importing_torch(command):
    code = (
        f"import sys; from secateur import cli; status = cli.main({command.split()!r}); "
        "assert not {'torch', 'torchvision', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules); sys.exit(status)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == (2 if "epohcs" in command else 0), answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("columns", [60, 80])
def test_the_list_fits_a_narrow_terminal_also_through_a_pipe(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    cli.main(["--list", "criterions"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert [line for line in lines if line.startswith("UnstructuredRandom  Prunes weights at random")]
    assert not [line for line in lines if "…" in line]


def test_the_list_shows_every_component(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    cli.main(["--list"])
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
    from secateur.runs.folder import copy_sources, sources_of

    copy_sources(sources_of(), tmp_path)
    example = next(block.partition("```")[0] for block in README.split("```python\n")[1:] if "class Guarded" in block)
    (tmp_path / "criterions" / "Guarded.py").write_text(example)
    assert len([line for line in example.splitlines() if line.strip()]) < 20
    done = call(
        f"--model LeNet300 --epochs 1 {QUICK} --prune_criterion Guarded --guard 0.3 --pruning_limit 0.9", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pruned to") == 7


def test_a_limit_without_a_criterion_is_noticed(run):
    _, out, _, folder = run(f"--model LeNet300 --pruning_limit 0.9 --epochs 0 --N 64 {QUICK}")
    assert "--pruning_limit has no effect with EmptyCrit" in out
    assert results(folder)["notices"]
