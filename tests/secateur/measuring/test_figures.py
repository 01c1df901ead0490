"""The figures of results.json, metrics.csv and the report of layers, from counts that the test sets."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.measuring.evaluation import Evaluation
from secateur.measuring.flops import Flops
from secateur.measuring.layers import WHOLE, layer_figures, weight_histograms
from secateur.measuring.sparsity import (
    epoch_figures,
    layer_outputs,
    measure_sparsity,
    network_figures,
    training_results,
)

MODEL_SPEC = {"model": "LeNet5", "data_set": "DIGITS", "prune_criterion": "SNIP", "layers_left_out": {"0": "is tied"}}
EVALUATION = Evaluation(0.5, 0.75, None, 0.875)
#: Of the run below: three of four and two of four weights, one of two hidden units.
NETWORK_FIGURES = {
    "model": "LeNet5",
    "data_set": "DIGITS",
    "prune_criterion": "SNIP",
    "test_accuracy": None,
    "test_loss": None,
    "validation_accuracy": 0.75,
    "validation_top5_accuracy": 0.875,
    "validation_loss": 0.5,
    "weight_sparsity": 0.5,
    "node_sparsity": 0.5,
    "parameters_dense": 12,
    "parameters_kept": 8,
    "flops_dense": 1000,
    "flops_effective": 1000 - 300 - 40,
    "layer_densities": {"0": 0.25, "1": 0.75},
    "layers_left_out": {"0": "is tied"},
    "seed": 7,
}


@pytest.fixture
def run():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0], [0, 3]]))
        network[1].weight.copy_(torch.tensor([[1.0, 2], [0, 3]]))
    return SimpleNamespace(
        network=network,
        sparsity=lambda: measure_sparsity(network),
        model_spec=MODEL_SPEC,
        data=SimpleNamespace(held_out_name="validation"),
        flops=Flops(1000, {"0": 400, "1": 160}),
        options=SimpleNamespace(seed=7),
        fresh_network=lambda seed: nn.Sequential(nn.Linear(2, 2 * (seed == 7)), nn.Linear(2, 2)),
    )


@pytest.fixture
def trainer(run):
    return SimpleNamespace(
        run=run,
        means=SimpleNamespace(read=lambda: {"loss": 1.5, "accuracy": 0.25}, samples=300),
        evaluation=EVALUATION,
        evaluate=lambda: Evaluation(0.0, 1.0, None),
        epoch=3,
        optimizer=SimpleNamespace(param_groups=[{"lr": 0.1}, {"lr": 0.2}]),
        seconds={"training": 20.0, "pruning": 2.0},
        epoch_seconds=4.0,
        training_flops=9000,
        pruner=SimpleNamespace(collapsed=["1"]),
        criterion=SimpleNamespace(repairs=[1], budgets=[2]),
    )


def test_figures_of_a_network_with_and_without_an_evaluation(run):
    assert network_figures(run, EVALUATION) == NETWORK_FIGURES
    nothing = dict.fromkeys(("validation_accuracy", "validation_top5_accuracy", "validation_loss"))
    assert network_figures(run) == NETWORK_FIGURES | nothing
    run.data.held_out_name = "test"
    found = network_figures(run, EVALUATION)
    assert (found["test_accuracy"], found["test_loss"]) == (0.75, 0.5)


def test_figures_of_an_epoch(trainer):
    wanted = {
        "epoch": 3,
        "learning_rate": 0.1,
        "train_loss": 1.5,
        "train_accuracy": 0.25,
        "validation_loss": 0.5,
        "validation_accuracy": 0.75,
        "weight_sparsity": 0.5,
        "node_sparsity": 0.5,
        "seconds_training": 20.0,
        "samples_per_second": 75.0,
    }
    assert epoch_figures(trainer) == wanted
    trainer.evaluation = None
    assert epoch_figures(trainer) == wanted | {"validation_loss": None, "validation_accuracy": None}


def test_figures_of_a_run_that_has_trained(trainer):
    wanted = NETWORK_FIGURES | {
        "train_accuracy": 0.25,
        "train_loss": 1.5,
        "epochs": 3,
        "flops_training_total": 9000,
        "seconds_pruning": 2.0,
        "seconds_training": 20.0,
        "seconds_testing": None,
        "collapsed_layers": ["1"],
        "repairs": [1],
        "budgets": [2],
    }
    assert training_results(trainer) == wanted
    trainer.means.samples, trainer.evaluation, trainer.seconds["testing"] = 0, None, 1.0
    evaluated = {"validation_accuracy": 1.0, "validation_top5_accuracy": None, "validation_loss": 0.0}
    unseen = {"train_accuracy": None, "train_loss": None, "seconds_testing": 1.0}
    assert training_results(trainer) == wanted | evaluated | unseen


def test_rows_of_layers_that_the_test_sets(run):
    assert layer_outputs(run.network) == {"0": 2, "1": 2}
    keys = (
        *("layer", "weights", "weights_kept", "sparsity", "flops", "flops_effective"),
        *("outputs", "outputs_kept", "left_out"),
    )
    rows = [
        ("0", 4, 1, 0.75, 400, 100, 2, 1, "is tied"),
        ("1", 4, 3, 0.25, 160, 120, 2, 2, ""),
        (WHOLE, 8, 4, 0.5, 1000, 660, 4, 3, ""),
    ]
    assert layer_figures(run) == [dict(zip(keys, row, strict=True)) for row in rows]


def test_a_network_without_layers_to_prune_has_the_row_of_the_whole_alone(run):
    run.network = nn.Sequential(nn.BatchNorm1d(3))
    run.sparsity, run.fresh_network = lambda: measure_sparsity(run.network), lambda seed: run.network
    run.flops = Flops(10, {})
    whole = (WHOLE, 0, 0, 0.0, 10, 10, 0, 0, "")
    assert [tuple(row.values()) for row in layer_figures(run)] == [whole]


def histograms(**networks):
    """Of networks whose layers have these weights, of so many each."""
    return weight_histograms(
        {
            label: SimpleNamespace(
                dense=SimpleNamespace(sizes={name: size for name, (size, _) in layers.items()}),
                masks=SimpleNamespace(weights={name: torch.tensor(values) for name, (_, values) in layers.items()}),
            )
            for label, layers in networks.items()
        }
    )


def test_networks_share_the_eighty_bars_of_a_layer_that_reach_to_the_largest_weight_of_all():
    found = histograms(
        a={"x": (6, [-4.0, 0.0, 1.05, 3.95])}, b={"x": (4, [[-1.0, 4.0], [0.0, 0.0]]), "y": (3, [0.0, 0.0, 0.0])}
    )
    assert list(found) == ["x", "y"]
    assert found["x"].edges == pytest.approx([-4 + number / 10 for number in range(81)], abs=1e-6)

    def places(counts):
        return {place: count for place, count in enumerate(counts) if count}

    assert places(found["x"].counts["a"]) == {0: 1, 50: 1, 79: 1}
    assert places(found["x"].counts["b"]) == {30: 1, 79: 1}
    assert found["x"].gone == {"a": 3, "b": 2}
    assert found["y"].edges == pytest.approx([-1 + number / 40 for number in range(81)], abs=1e-6)
    assert (places(found["y"].counts["b"]), found["y"].gone, list(found["y"].counts)) == ({}, {"b": 3}, ["b"])
