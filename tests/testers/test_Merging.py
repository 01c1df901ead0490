"""Channels removed, merged and fitted without training: the numbers, where they are known beforehand."""

import csv

import pytest
import torch

from secateur.measuring.evaluation import evaluate
from secateur.pruning.sparsification import without
from secateur.runs.checkpoint import save_checkpoint
from secateur.testers.Merging import Merging
from tests.commands import QUICK

SMALL = "--model LeNet300 --data_set RUBBISH --input_dim 1 8 8 --N 1000"
HALVES = {"features.1": 150, "features.3": 50}


@pytest.fixture
def twins(make_run):
    """An evaluation of a network in which each neuron of the first half of a layer has a twin of half its size."""

    def make(options):
        trained = make_run(f"{SMALL} --epochs 0")
        for name, half in HALVES.items():
            layer = trained.network.get_submodule(name)
            torch.nn.init.normal_(layer.bias, std=0.1)
            layer.weight.data[half:] = layer.weight.data[:half] / 2
            layer.bias.data[half:] = layer.bias.data[:half] / 2
        trained.network.classifier.weight.data *= 50  # the loss tells logits that are nearly the same apart
        save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
        return make_run(f"--eval --test_scheme Merging --checkpoint_name {trained.folder.path} --N 1000 {options}")

    return make


def test_twins_are_removed_merging_loses_nothing_and_least_squares_hardly_anything(twins):
    run = twins("--merge_criteria l1-norm --merge_ratios .5")
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    results = Merging(run).evaluate()
    rows = results["merging"]
    assert [(row["criterion"], row["ratio"]) for row in rows] == [("l1-norm", 0.5)]
    zeroed = without(run.network, {name: torch.arange(2 * half) < half for name, half in HALVES.items()})
    plain = evaluate(zeroed, run.loss, run.data.held_out, run.data.num_classes)
    for row in rows:
        assert row["node_sparsity"] == row["ratio"]
        assert (row["original_accuracy"], row["original_loss"]) == (results["test_accuracy"], results["test_loss"])
        assert row["merged_loss"] == pytest.approx(row["original_loss"], abs=1e-4)
        assert row["merged_accuracy"] == pytest.approx(row["original_accuracy"], abs=0.01)
        assert row["pruned_loss"] == pytest.approx(plain.loss, abs=1e-4)
        assert abs(row["least_squares_loss"] - row["original_loss"]) < abs(plain.loss - row["original_loss"]) / 4
    assert all(torch.equal(before[name], tensor) for name, tensor in run.network.state_dict().items())
    assert run.removed == []


def test_the_table_the_figure_and_what_does_not_fit(run):
    trained = run(f"{SMALL} --epochs 0 {QUICK}")
    name = f"--eval --test_scheme Merging --checkpoint_name {trained.folder.name} --N 1000 {QUICK}"
    tested = run(f"{name} --merge_criteria l2-GM --merge_ratios .5,.25 --merge_threshold 1")
    assert tested.status == 0, tested.err
    with (tested.folder / "output" / "merging.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ["criterion", "ratio", "node_sparsity", "original", "pruned", "merged", "least_squares"]
    assert list(rows[0]) == columns
    assert [(row["criterion"], float(row["ratio"])) for row in rows] == [("l2-GM", 0.5), ("l2-GM", 0.25)]
    for row in rows:
        assert float(row["original"]) == trained.results["test_accuracy"]
        assert row["node_sparsity"] == row["ratio"]
        assert row["merged"] == row["pruned"]  # no two filters are that much alike
    assert (tested.folder / "output" / "merging.png").is_file()
    notice = "--compensate merge finds no filters alike: --merge_threshold is above all their cosines"
    assert tested.results["notices"][1:] == [notice]
    assert tested.results["prune_criterion"] == "EmptyCrit"
    assert "leave out --prune_criterion" in run(f"{name} --prune_criterion SNIP").err
    assert "compares all methods of --compensate" in run(f"{name} --compensate merge").err
    assert "'l3-norm' is not one of l1-norm, l2-norm, l2-GM" in run(f"{name} --merge_criteria l3-norm").err


def test_a_network_without_channels_to_remove_is_refused(run):
    trained = run(f"--model LogisticRegression --data_set RUBBISH --N 32 --epochs 0 {QUICK}")
    refused = run(f"--eval --test_scheme Merging --checkpoint_name {trained.folder.name}")
    assert (refused.status, refused.folder) == (2, None)
    assert "no channels of LogisticRegression can be removed" in refused.err


def test_without_a_checkpoint_the_network_is_trained_first(run, tmp_path):
    command = f"--eval --test_scheme Merging --model LeNet300 --N 40 --epochs 1 {QUICK}"
    options = "--merge_ratios .5 --merge_criteria l1-norm --merge_lambda .7"
    first = run(f"{command} {options}")
    assert first.status == 0, first.err
    assert "has just trained it" in first.out
    again = run(f"{command} {options}")
    assert "which has trained by these settings" in again.out
    assert len(again.results["merging"]) == 1
    assert len(list(tmp_path.glob("results/*/models/*_finished.json"))) == 1  # trained once
    refused = run(f"{command} --prune_criterion SNIP")
    assert refused.status == 2
    assert refused.err == (
        "error: Merging sets --prune_criterion itself: leave it out, or train in a run of its own and name it with "
        "--checkpoint_name\n"
    )
