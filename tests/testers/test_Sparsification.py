"""A trained network without its smallest weights or units: which go, what is left, and where the network comes from."""

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from secateur.measuring.evaluation import evaluate
from secateur.pruning.sparsification import NORMS, hidden_layers, without
from secateur.runs.checkpoint import save_checkpoint
from secateur.testers.Sparsification import Sparsification
from secateur.utils.errors import UserError
from tests.commands import QUICK

TRAINED = f"--eval --test_scheme Sparsification --model LeNet300 --data_set RUBBISH --epochs 1 --N 64 {QUICK}"


def small_network():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    network[1].weight.data = torch.tensor([[1.0, -2, 3], [0.5, 0.1, -4]])
    network[1].bias.data = torch.tensor([7.0, 8])
    return network


def test_weights_count_by_their_size_and_units_by_their_l2_norm_and_the_last_layer_is_spared():
    layers = hidden_layers(small_network(), torch.zeros(1, 1, 1, 3))
    assert list(layers) == ["1"]
    assert torch.equal(NORMS["weight"](layers["1"]), torch.tensor([[1, 2, 3], [0.5, 0.1, 4]]))
    assert NORMS["unit"](layers["1"]).tolist() == pytest.approx([14**0.5, 16.26**0.5])


def test_what_goes_is_zero_in_a_copy_and_a_unit_takes_its_bias_with_it():
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pruned = without(network, {"1": torch.tensor([[False, True, True], [False, False, True]])})
    assert pruned[1].weight.tolist() == [[0, -2, 3], [0, 0, -4]]
    assert pruned[1].bias.tolist() == [7, 8]
    pruned = without(network, {"1": torch.tensor([False, True])})
    assert pruned[1].weight.tolist() == [[0, 0, 0], [0.5, pytest.approx(0.1), -4]]
    assert pruned[1].bias.tolist() == [0, 8]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3, groups=2)],
    ids=lambda layer: f"{type(layer).__name__}-{layer.groups}",
)
def test_the_units_of_convolutions_are_their_output_channels(layer):
    images, kept = torch.rand(2, 4, 5, 5), torch.tensor([True, False, True, True, False, True])
    pruned = without(nn.Sequential(layer), {"0": kept})
    expected = layer(images) * kept[:, None, None]
    assert torch.allclose(pruned(images), expected, atol=1e-6)
    weights = without(nn.Sequential(layer), {"0": kept[:, None].expand_as(NORMS["weight"](layer))})
    bias = layer.bias[:, None, None]
    assert torch.allclose(weights(images) - bias, (layer(images) - bias) * kept[:, None, None], atol=1e-6)


@pytest.fixture
def testing(make_run):
    """Build a run that tests a network with known sizes of weights."""

    def make(options):
        trained = make_run("--model LeNet300 --data_set RUBBISH --input_dim 1 8 8 --N 32 --epochs 0")
        # The first layer's weights are ten times as large as the second's.
        for name, factor in (("features.1", 10), ("features.3", 1)):
            weight = trained.network.get_submodule(name).weight
            order = torch.randperm(weight.numel()).add(1)
            weight.data = (factor * order / weight.numel()).view_as(weight)
        save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
        name = f"--checkpoint_name {trained.folder.path}"
        return make_run(f"--eval --test_scheme Sparsification {name} --N 32 {options}")

    return make


@pytest.fixture
def tested(testing):
    """Call the tester on that network; returns the run and its rows by sparsity."""

    def call(options):
        run = testing(options)
        return run, {row["sparsity"]: row for row in Sparsification(run).evaluate()["sparsification"]}

    return call


@pytest.mark.parametrize("ranking", ["layer", "network"])
def test_the_smallest_go_of_each_layer_or_of_the_network(tested, monkeypatch, ranking):
    left = []

    def evaluation(network, *others):
        weights = [network.get_submodule(name).weight for name in ("features.1", "features.3")]
        left.append([(int(weight.count_nonzero()), int(weight.any(1).sum())) for weight in weights])
        return evaluate(network, *others)

    monkeypatch.setattr("secateur.testers.DefaultTester.evaluate", evaluation)
    run, rows = tested(f"--k_vals 0,.5 --ranking {ranking}")
    first, second = (run.network.get_submodule(name).weight for name in ("features.1", "features.3"))
    assert run.network.classifier.weight.all()
    assert second.shape == (100, 300)
    sizes = (first.numel(), second.numel())
    if ranking == "layer":
        weights, units = [size // 2 for size in sizes], [150, 50]
    else:
        # The first layer's weights are spread over (0, 10], the second's over (0, 1].
        threshold = torch.cat([first.flatten(), second.flatten()]).sort(descending=True).values[sum(sizes) // 2 - 1]
        weights, units = [int((weight >= threshold).sum()) for weight in (first, second)], [200, 0]
    full = [(sizes[0], 300), (sizes[1], 100)]
    del left[0]  # of the network itself
    assert left[0] == left[2] == full
    assert [count for count, _ in left[1]] == weights
    assert [count for _, count in left[3]] == units
    assert rows[0]["weight_accuracy"] == rows[0]["unit_accuracy"]
    assert first.all()
    assert second.all()


def test_each_method_is_shown_before_and_after_repair(testing):
    run = testing(
        "--k_vals 0,.9 --methods magnitude,SparseGPT,L1Norm --method_batches 1 --method_repairs least_squares"
    )
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    tables = []
    run.hooks = SimpleNamespace(table_created=lambda run, table: tables.append(table))
    rows = Sparsification(run).compare_methods("a network")["sparsification_methods"]
    assert [(row["method"], row["sparsity"]) for row in rows] == [
        (method, k) for method in ("Magnitude", "SparseGPT", "L1Norm") for k in (0, 0.9)
    ]
    for row in rows:
        assert (row["error"] < 1e-6) == (row["sparsity"] == 0)
        assert row["repaired_error"] <= row["error"]
    assert rows[1]["repaired_error"] < rows[1]["error"]
    assert all(torch.equal(before[name], tensor) for name, tensor in run.network.state_dict().items())
    assert [(table.name, table.rows) for table in tables] == [("sparsification_methods", rows)]
    with Image.open(run.folder.output / "sparsification_methods.png") as image:
        assert image.width > 500
    with pytest.raises(UserError, match="there is no criterion 'Wand'"):
        Sparsification(testing("--methods Wand"))


def test_the_network_is_trained_once_and_used_again_by_runs_of_the_same_settings(run, tmp_path):
    def trained():
        return sorted(path.parent.parent.name for path in tmp_path.glob("results/*/models/*_finished.json"))

    # The fixture's folder is the newest of two here.
    first = run(f"{TRAINED} --k_vals 0,.5,1")
    assert first.status == 0, first.err
    (network,) = trained()
    folders = {path.name for path in tmp_path.glob("results/*")}
    (tested,) = folders - {network}
    output = tmp_path / "results" / tested / "output"
    assert f"{network}, which has just trained it" in (output / "log.txt").read_text()
    command = (tmp_path / "results" / network / "output" / "calling_command.txt").read_text().splitlines()[0]
    assert command.startswith("python3 main.py --model LeNet300 --data_set RUBBISH --epochs 1")
    assert "k_vals" not in command
    results = json.loads((output / "results.json").read_text())
    assert results["notices"] == []
    with (output / "sparsification.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["sparsity"]) for row in rows] == [0, 0.5, 1]
    trained_results = json.loads((tmp_path / "results" / network / "output" / "results.json").read_text())
    assert float(rows[0]["weight_accuracy"]) == float(rows[0]["unit_accuracy"]) == trained_results["test_accuracy"]
    assert float(rows[0]["unit_loss"]) == trained_results["test_loss"]
    for unit in ("weights", "units"):
        with Image.open(output / f"pruned_{unit}.gif") as animation:
            assert animation.n_frames == 3
    assert (output / "sparsification.png").is_file()

    again = run(f"{TRAINED} --k_vals .5 --ranking network --run_name again")
    assert trained() == [network]
    assert f"{network}, which has trained by these settings" in again.out.replace("\n", " ")
    assert again.results["test_loss"] == trained_results["test_loss"]
    run(f"{TRAINED} --k_vals .5 --seed 2")
    assert len(trained()) == 2
    run(f"{TRAINED} --k_vals .5 --force_train")
    assert len(trained()) == 3


def test_a_network_without_hidden_layers_is_refused_and_so_are_several(run):
    status, _, err, _ = run(TRAINED.replace("LeNet300", "LogisticRegression"))
    assert (status, "spares the last layer, and LogisticRegression has no other" in err) == (2, True)
    status, _, err, _ = run("--eval --test_scheme Sparsification --checkpoint_name latest,latest")
    assert (status, "Sparsification tests one network" in err) == (2, True)
    status, _, err, _ = run("--eval --test_scheme Sparsification --checkpoint_name latest --force_train")
    assert (status, "--force_train is for --eval" in err) == (2, True)
