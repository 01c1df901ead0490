"""What is asked of single layers, and like layers that are ranked among themselves: counts worked out by hand."""

import pytest
import torch
from torch import nn

import secateur
from secateur.pruning.layers import like_layers
from secateur.pruning.selection import select
from secateur.utils.errors import UserError


def network():
    """Weights of 16, 32 and 64 numbers, and 6 of the classes; channels of 4, 8 and 8."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip


IMAGE = torch.zeros(1, 4, 2, 2)


def kept(one):
    return [int(one[number].weight.count_nonzero()) for number in (0, 1, 2, 5)]


def prune(criterion="Magnitude", **options):
    found = network()
    secateur.prune(found, criterion, example=IMAGE, outer_layer_pruning=True, **options)
    return found


def test_layers_have_a_sparsity_of_their_own_and_the_limit_is_that_of_all_others():
    found = prune(sparsity=0.5, distribution="uniform", layer_sparsity=["[01]=0.75", "1=0.25"])
    assert kept(found) == [4, 24, 32, 8]  # the last pattern that fits counts


def test_on_the_way_layers_with_a_sparsity_of_their_own_come_as_far_as_the_others():
    # linear in two steps to 0.8: half of it first, and half of 0.5
    found, steps = network(), []
    options = {"schedule": "linear", "snip_steps": 2, "layer_sparsity": ["2=0.5"], "distribution": "uniform"}
    secateur.Pruner(
        found, "Magnitude", sparsity=0.8, example=IMAGE, outer_layer_pruning=True, at_once=True, epochs=1,
        on_step=lambda step: steps.append(int(step.masks["2"].sum())), **options,
    )  # fmt: skip
    assert steps == [48, 32]
    assert kept(found)[2] == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_sparsity": ["fist=0.5"]}, "--layer_sparsity fist fits no layer of the network: there is 0, 1, 2, 5"),
        ({"layer_sparsity": ["1=1.0"]}, "at least 0 and below 1"),
        ({"layer_sparsity": ["1:0.5"]}, "layer_sparsity: '1:0.5' is not NAME=FRACTION"),
        ({"layer_sparsity": ["1=0.5"], "pattern": "2:4"}, "--pattern 2:4 says how much of each layer is pruned"),
        ({"layer_sparsity": ["1=0.5"], "ignore_layers": ["1"]}, "1 is not pruned: --ignore_layers names them"),
    ],
)
def test_what_fits_no_layer_or_no_option_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        prune(**options)


def test_channels_go_as_their_layer_says_and_each_layer_keeps_its_least():
    found = prune("L1Norm", sparsity=0.9, layer_sparsity=["0=0.25"], min_channels=2)
    assert [found[number].weight.shape[0] for number in (0, 1, 2)] == [3, 2, 2]
    assert prune("L1Norm", sparsity=0.9)[1].weight.shape[0] + 0 < 3


def test_coupled_layers_have_one_sparsity():
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.last = nn.Linear(2, 4), nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, inputs):
            return self.last(self.one(inputs) + self.other(inputs))

    with pytest.raises(UserError, match="the channels of one and other go together"):
        secateur.prune(Added(), "L1Norm", example=torch.zeros(1, 2), layer_sparsity=["one=0.25", "other=0.5"])
    found = Added()
    secateur.prune(found, "L1Norm", example=torch.zeros(1, 2), layer_sparsity=["one=0.25"])
    assert found.other.out_features == 3


def test_like_layers_share_what_all_of_them_keep():
    layers = nn.ModuleDict(
        {"a": nn.Conv2d(2, 4, 1), "b": nn.Conv2d(2, 4, 3), "c": nn.Conv2d(4, 8, 1), "d": nn.Conv2d(4, 4, 1, groups=4)}
    )
    assert like_layers(layers, layers) == [["a", "c"], ["b"], ["d"]]
    scores = {
        "a": torch.tensor([4.0, 3, 2, 1]),
        "b": torch.tensor([100.0, 90, 80, 70]),
        "c": torch.tensor([9.0, 8, 7, 6]),
    }
    masks = select(scores, 6, "isomorphic", alike=[["a", "c"], ["b"]])
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"a": 0, "b": 2, "c": 4}
    masks = select(scores, 6, "isomorphic", alike=[["a", "c"], ["b"]], fixed={"c": 1})
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"a": 3, "b": 2, "c": 1}


def test_like_groups_of_channels_are_ranked_among_themselves_and_lose_the_same_share():
    found = network()
    with torch.no_grad():
        for number, size in ((0, 1.0), (1, 10.0), (2, 100.0)):
            found[number].weight.copy_(size * torch.arange(1.0, len(found[number].weight) + 1)[:, None, None, None])
    # 0 and 1 are convolutions that one reads, 2 is read by a linear layer: half of 4 + 8, and of 8
    secateur.prune(found, "L1Norm", sparsity=0.5, example=IMAGE, distribution="isomorphic")
    assert [found[number].weight.shape[0] for number in (0, 1, 2)] == [1, 5, 4]


def test_the_first_layer_takes_a_sparsity_for_its_channels_and_none_for_its_weights():
    options = {"example": IMAGE, "sparsity": 0.5, "layer_sparsity": ["0=0.25"]}
    found = network()
    secateur.prune(found, "L1Norm", **options)
    assert found[0].out_channels == 3
    with pytest.raises(UserError, match=r"0=0\.25: 0 is not pruned"):
        secateur.prune(network(), "Magnitude", **options)
    with pytest.raises(UserError, match="0 is not pruned: --ignore_layers names them"):
        secateur.prune(network(), "L1Norm", ignore_layers=["0"], **options)
