"""main.py --eval and --checkpoint_name: finished networks are tested, compared, and trained further."""

import csv
import json

import numpy as np

from tests.commands import QUICK, results


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
    again = (tested / "output" / "calling_command.txt").read_text()
    assert f"--checkpoint_name={trained} --checkpoint_model=MLP5_finished\n" in again
    status, _, err, folder = run("--eval --checkpoint_name latest --model LeNet300")
    assert (status, folder) == (2, None)
    assert "is of another network: its model is MLP5, not LeNet300" in err


def test_several_checkpoints_are_tested_side_by_side(run):
    common = f"--data_set RUBBISH --epochs 1 --N 64 {QUICK}"
    first = run(f"--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --run_name sparse {common}")
    second = run(f"--model LogisticRegression --run_name small {common}")
    tested = run(f"--eval --checkpoint_name {first.folder.name},{second.folder.name} {QUICK}")
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
    assert "training starts from one checkpoint, not 2" in trains.err


def test_training_goes_on_from_a_checkpoint_with_its_masks(run):
    *_, first = run(f"--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --epochs 1 --N 64 {QUICK}")
    status, _, _, second = run(f"--model LeNet300 --checkpoint_name {first.name} --epochs 1 --N 64 {QUICK}")
    assert status == 0
    assert results(second)["weight_sparsity"] == results(first)["weight_sparsity"] > 0.5


def test_a_checkpoint_brings_its_data_set_and_its_classes(run):
    *_, trained = run(
        f"--model LogisticRegression --data_set RUBBISH --rubbish_images 50 --epochs 1 --output_dim 12 --pruner SNIP "
        f"--outer_layer_pruning {QUICK}"
    )
    status, _, err, tested = run(f"--eval --checkpoint_name {trained.name} --rubbish_images 20 {QUICK}")
    assert status == 0, err
    assert results(tested)["data_set"] == "RUBBISH"
    metadata = json.loads((trained / "models" / "LogisticRegression_finished.json").read_text())
    assert (metadata["loss"], metadata["seed"]) == ("CrossEntropy", 333)
    assert results(tested)["prune_criterion"] == "SNIP"


def test_a_checkpoint_brings_the_place_and_the_options_of_its_data(run, tmp_path):
    random = np.random.default_rng(0)
    parts = {f"x_{part}": random.integers(0, 256, (6, 3, 8, 3), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(6) % 2 for part in ("train", "test")}
    np.savez(tmp_path / "a.npz", **parts, **labels)
    command = f"--model LogisticRegression --data_set ARRAYS --data_dir {tmp_path / 'a.npz'} --axes NHWC --epochs 1"
    trained = run(f"{command} {QUICK}")
    assert trained.status == 0, trained.err
    tested = run(f"--eval --checkpoint_name {trained.folder.name} {QUICK}")
    assert tested.status == 0, tested.err
    assert tested.results["test_loss"] == trained.results["test_loss"]
    assert "ARRAYS as 3x3x8" in tested.out
    # What is typed goes over it.
    elsewhere = run(f"--eval --checkpoint_name {trained.folder.name} --data_dir {tmp_path}/b.npz")
    assert elsewhere.status == 2
    assert "b.npz" in elsewhere.err


def test_a_tester_may_return_its_own_figures_alone(run, monkeypatch):
    *_, trained = run(f"--model LogisticRegression --epochs 1 --N 64 {QUICK}")
    monkeypatch.setattr("secateur.testers.DefaultTester.DefaultTester.evaluate", lambda self: {"robustness": 0.5})
    status, out, err, tested = run(f"--eval --checkpoint_name {trained.name} {QUICK}")
    assert status == 0, err
    assert "LogisticRegression on DIGITS" in out
    found = results(tested)
    assert (found["robustness"], found["model"], found["test_accuracy"]) == (0.5, "LogisticRegression", None)
    monkeypatch.setattr("secateur.testers.DefaultTester.DefaultTester.evaluate", lambda self: 0.5)
    status, _, err, _ = run(f"--eval --checkpoint_name {trained.name} {QUICK}")
    assert status == 2
    assert "DefaultTester returns float instead of a dictionary" in err


def test_very_many_outputs_are_trained_and_tested(run):
    status, _, err, folder = run("--model LogisticRegression --epochs 1 --N 64 --output_dim 20000 --batch_size 32")
    assert status == 0, err
    status, _, err, _ = run(f"--eval --checkpoint_name {folder.name}")
    assert status == 0, err


def test_a_comma_may_be_part_of_a_runs_name(run):
    common = f"--model LogisticRegression --epochs 1 --N 64 {QUICK}"
    first, second = (run(f"{common} --run_name {name}").folder for name in ("a,b", "c"))
    for named, number in ((first.name, 1), (f"{first},{second.name}", 2), (f"{second.name},{first.name}", 2)):
        tested = run(f"--eval --checkpoint_name {named} {QUICK}")
        assert tested.status == 0, tested.err
        compared = tested.folder / "output" / "compared.csv"
        assert compared.exists() == (number == 2)
        assert (
            json.loads((tested.folder / "output" / "arguments.json").read_text())["checkpoint_name"].count(",")
            == number
        )
    missing = run(f"--eval --checkpoint_name {first.name}x,{second.name}")
    assert missing.status == 2
    assert "there is no run folder" in missing.err
