"""What each layer's pruning costs, and the densities that are made of it."""

import json

import pytest
import torch
from PIL import Image
from torch import nn

import secateur
from secateur.pruning.sensitivity import sparsity_within, spread, table_counts, table_of
from secateur.runs.checkpoint import save_checkpoint
from secateur.runs.files import write_json
from secateur.testers.Sensitivity import Sensitivity
from secateur.utils.errors import UserError

NETWORK = "--data_set DIGITS --N 40 --batch_size 20"
#: Accuracy 0.9 as a whole; the first layer loses 0.1 up to a half, the second nothing, and then 0.4.
TABLE = {"first": [(0, 0.9), (0.5, 0.8)], "second": [(0, 0.9), (0.5, 0.9), (0.75, 0.5)]}


def test_a_layer_goes_as_far_as_the_drop_allows_by_its_row():
    first, second = TABLE.values()
    assert sparsity_within(first, 0.05) == pytest.approx(0.25)
    assert sparsity_within(first, 0.1 + 0.4) == pytest.approx(0.75)  # from 0.8 at a half to nothing without weights
    assert sparsity_within(second, 0.0) == 0.5
    assert sparsity_within(second, 0.2) == pytest.approx(0.625)
    assert sparsity_within([(0, 0.9), (0.5, 0.7), (0.6, 0.95)], 0.1) == pytest.approx(0.25)
    assert sparsity_within(first, 1.0) == 1.0


def test_all_layers_cost_the_same_accuracy_and_the_count_is_exact(tmp_path):
    # a drop of 0.05: 3/4 of 100, and 1 - 0.53125 of 200
    assert spread(TABLE, {"first": 100, "second": 200}, 75 + 93.75) == pytest.approx({"first": 75, "second": 93.75})
    # nothing is lost by a part of the second's half
    assert spread(TABLE, {"first": 100, "second": 200}, 250) == pytest.approx({"first": 100, "second": 150})
    rows = [
        {"layer": layer, "sparsity": sparsity, "recalibrated_accuracy": accuracy}
        for layer, points in TABLE.items()
        for sparsity, accuracy in reversed(points)
    ]
    assert table_of(rows) == TABLE
    (tmp_path / "output").mkdir()
    write_json(tmp_path / "output" / "results.json", {"sensitivity": rows})
    # 100 - 500 d and 100 - 125 d for a drop of d = 0.0512: 74.4 and 93.6
    assert table_counts(tmp_path, {"first": 100, "second": 200}, 168, {}) == {"first": 74, "second": 94}
    assert table_counts(tmp_path, {"first": 100, "second": 200}, 85, {"first": 10}) == {"first": 10, "second": 75}
    with pytest.raises(UserError, match="has no layer third"):
        table_counts(tmp_path, {"third": 3}, 1, {})
    with pytest.raises(UserError, match="is not a finished run of the tester Sensitivity"):
        table_counts(tmp_path / "other", {"third": 3}, 1, {})


def test_channels_go_where_the_table_says_that_they_cost_nothing(tmp_path):
    layers = [nn.Conv2d(1, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    rows = [{"layer": name, "sparsity": 0.0, "recalibrated_accuracy": 0.9} for name in "012"]
    rows.append({"layer": "0", "sparsity": 0.5, "recalibrated_accuracy": 0.9})
    (tmp_path / "output").mkdir()
    write_json(tmp_path / "output" / "results.json", {"sensitivity": rows})
    options = {"distribution": "sensitivity", "sensitivity": tmp_path, "example": torch.zeros(1, 1, 2, 2)}
    secateur.prune(network, "L1Norm", sparsity=0.1, **options)
    assert [layer.out_channels for layer in layers] == [2, 8, 8]


@pytest.fixture
def tested(make_run):
    """Test LeNet5 with fresh weights; returns the run and its rows."""

    def call(options=""):
        trained = make_run(f"--model LeNet5 {NETWORK} --epochs 0")
        save_checkpoint(trained.folder.models / "LeNet5_finished", trained.network, trained.masks, trained.model_spec)
        run = make_run(f"--eval --test_scheme Sensitivity --checkpoint_name {trained.folder.path} {NETWORK} {options}")
        before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
        results = Sensitivity(run).evaluate()
        assert all(torch.equal(before[name], tensor) for name, tensor in run.network.state_dict().items())
        return run, results

    return call


@pytest.mark.parametrize("criterion", ["Magnitude", "L1Norm"])
def test_one_layer_is_pruned_and_all_others_are_whole(tested, monkeypatch, criterion):
    left = []
    on_held_out = Sensitivity.on_held_out

    def see(self, run, network):
        left.append({name: int(one.count_nonzero()) for name, one in network.named_parameters() if one.dim() > 1})
        return on_held_out(self, run, network)

    monkeypatch.setattr(Sensitivity, "on_held_out", see)
    run, results = tested(f"--sensitivity_criterion {criterion} --sensitivity_sparsities 0.5")
    layers = list(dict.fromkeys(row["layer"] for row in results["sensitivity"]))
    whole = {f"{name}.weight": one.numel() for name, one in run.masks.weights.items()}
    del left[0]  # of the network itself
    assert len(left) == 2 * len(layers)
    assert len(layers) == len(whole) - (criterion == "L1Norm")  # classes stay
    for layer, found in zip(layers, left[::2], strict=True):
        name = f"{layer}.weight"
        assert found[name] == pytest.approx(whole[name] / 2, rel=0.01)
        if criterion == "Magnitude":
            assert {other: number for other, number in found.items() if other != name} == {
                other: number for other, number in whole.items() if other != name
            }
    assert [row["sparsity"] for row in results["sensitivity"][:2]] == [0.0, 0.5]
    with Image.open(run.folder.output / "sensitivity.png") as image:
        assert image.width > 500


def test_the_distribution_goes_by_the_run_that_is_named(tested, make_run):
    run, results = tested("--sensitivity_sparsities 0.5")
    run.folder.output.mkdir(exist_ok=True)
    write_json(run.folder.output / "results.json", results)
    sizes = {name: weight.numel() for name, weight in run.masks.weights.items()}
    flags = f"--model LeNet5 {NETWORK} --outer_layer_pruning --prune_criterion Magnitude --pruning_limit 0.8"
    pruned = make_run(f"{flags} --distribution sensitivity --sensitivity {run.folder.path}")
    step = pruned.criterion.prune(0.8, [])
    wanted = spread(table_of(results["sensitivity"]), sizes, round(0.2 * sum(sizes.values())))
    assert step.kept == round(0.2 * sum(sizes.values()))
    for name, mask in step.masks.items():
        assert int(mask.sum()) == pytest.approx(wanted[name], abs=1)
    assert json.loads(json.dumps(results))["sensitivity_criterion"] == "Magnitude"
    with pytest.raises(UserError, match="need each other"):
        make_run(f"{flags} --distribution sensitivity")
