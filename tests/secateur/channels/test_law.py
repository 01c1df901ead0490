"""What breaks the law is not removed, what is not pruned is told, and frozen layers are like others."""

import copy
import csv
import json

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.surgery import Surgery
from tests.commands import QUICK


class HardCoded(nn.Module):
    """Counts its channels itself, which is right until one goes."""

    def __init__(self):
        super().__init__()
        self.first, self.free, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, images):
        hidden = self.first(images.flatten(1)).relu()
        hidden = hidden + 0.0 * torch.zeros(len(hidden), 6)
        return self.last(self.free(hidden).relu())


def test_a_group_that_breaks_the_law_is_not_offered_and_named_with_the_reason():
    surgery = Surgery(HardCoded(), torch.rand(1, 1, 2, 2))
    assert list(surgery.groups) == ["free"]
    assert str(surgery.fixed["first"]).startswith("6 of 6: the network does not run without some of them (RuntimeError")


class Turning(nn.Module):
    """Its outputs depend on how many channels it has, once there are fewer than five."""

    def __init__(self):
        super().__init__()
        self.first, self.other, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, images):
        hidden = self.first(images.flatten(1)).relu()
        return self.last(self.other(hidden * (2.0 if hidden.shape[1] < 5 else 1.0)).relu())


def test_a_removal_that_breaks_the_law_leaves_the_network_as_it_was_and_names_the_group():
    torch.manual_seed(0)
    network, image = Turning(), torch.rand(1, 1, 2, 2)
    assert set(Surgery(network, image).groups) == {"first", "other"}  # without three of eight it is as it was
    weights = copy.deepcopy(network.state_dict())
    result = secateur.prune(network, "L1Norm", sparsity=0.5, distribution="uniform", example=image)
    assert network.first.out_features == 8
    assert network.other.out_features == 4
    assert network.first.weight.equal(weights["first.weight"])
    (notice,) = result.steps[0].notices
    assert notice.startswith("no channels of first and what is coupled to it were removed: without some of them the")
    assert result.steps[0].kept == 12
    assert result.steps[0].removed[0][0] == "other"


def test_layers_that_are_ignored_stay_and_a_pattern_that_fits_none_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    images = torch.rand(2, 1, 2, 2)
    with pytest.raises(ValueError, match="--ignore_layers fc fits no layer of the network: there is 1, 3, 5"):
        secateur.prune(network, "L1Norm", sparsity=0.5, example=images[:1], ignore_layers=["fc"])
    result = secateur.prune(network, "L1Norm", sparsity=0.5, example=images[:1], ignore_layers=["1"])
    assert (network[1].out_features, network[3].out_features) == (8, 4)
    assert result.pruner.left_out == {"1": "8 of 8: --ignore_layers names them"}
    weights = copy.deepcopy(network[3].weight)
    result = secateur.prune(
        network, "Magnitude", sparsity=0.5, example=images[:1], ignore_layers=["[3]"], outer_layer_pruning=True
    )
    assert network[3].weight.equal(weights)
    assert int((network[1].weight != 0).sum() + (network[5].weight != 0).sum()) == (32 + 12) // 2


def test_frozen_layers_are_pruned_like_others():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    network[3].requires_grad_(False)
    batches = [(torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2]))]
    result = secateur.prune(network, "SNIP", sparsity=0.5, batches=batches)
    assert int((network[3].weight != 0).sum()) == 32
    assert not network[3].weight.requires_grad
    assert list(result.pruner.left_out) == ["1", "5"]
    pruner = secateur.Pruner(
        network, "MovementPruning", sparsity=0.5, batches=batches, epochs=4, outer_layer_pruning=True
    )
    assert pruner.left_out == {"3": "it is frozen, and scores come from the gradients of training"}


NORMED = """
import torch


class Normed(torch.nn.Module):
    \"\"\"A norm over two channels at a time.\"\"\"

    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.first, self.norm = torch.nn.Conv2d(input_shape[0], 8, 3), torch.nn.GroupNorm(4, 8)
        self.free, self.last = torch.nn.Conv2d(8, 8, 3), torch.nn.Linear(8, num_classes)

    def forward(self, images):
        return self.last(self.free(self.norm(self.first(images)).relu()).relu().mean((2, 3)))
"""


def test_layers_that_are_left_out_are_told_at_the_start_in_the_results_and_by_the_report(run, tmp_path):
    network = tmp_path / "models" / "Normed.py"
    network.parent.mkdir()
    network.write_text(NORMED)
    small = "--data_set RUBBISH --input_dim 3 8 8 --N 64 --epochs 0 --prune_criterion L1Norm"
    trained = run(f"--components {tmp_path} --model Normed {small} {QUICK}")
    assert trained.status == 0, trained.err
    reason = "8 of 8: a GroupNorm takes its statistics over several of them"
    assert f"not pruned, or only in part: first ({reason})" in " ".join((trained.out + trained.err).split())
    results = json.loads((trained.folder / "output" / "results.json").read_text())
    assert results["layers_left_out"] == {"first": reason}
    tested = run(
        f"--components {tmp_path} --eval --test_scheme LayerReport --checkpoint_name {trained.folder.name} {QUICK}"
    )
    assert tested.status == 0, tested.err
    with (tested.folder / "output" / "layers.csv").open() as file:
        told = {row["layer"]: row["left_out"] for row in csv.DictReader(file)}
    assert {name: why for name, why in told.items() if why} == {"first": reason}
