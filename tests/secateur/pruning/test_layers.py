import pytest
import torch
from torch import nn

from secateur.pruning.layers import (
    computed_layers,
    execution_order,
    layer_sparsities,
    like_layers,
    matching_layers,
    outer_layers,
    prunable_layers,
    prunable_weights,
    told,
)
from secateur.utils.errors import UserError


class OddlyDefined(nn.Module):
    """Defines its layers in another order than it uses them."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.ConvTranspose2d(2, 4, 3)
        self.stem = nn.Conv2d(1, 2, 3)

    def forward(self, images):
        return self.head(self.norm(self.body(self.stem(images))).mean((2, 3)))


def test_weights_of_linear_and_convolutions_are_prunable_and_nothing_else():
    assert list(prunable_layers(OddlyDefined())) == ["head", "body", "stem"]
    network = OddlyDefined()
    assert prunable_weights(network)["stem"] is network.stem.weight


def test_a_shared_weight_stands_there_once():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    assert list(prunable_weights(network)) == ["0"]


def test_the_outer_layers_are_the_first_and_last_that_are_reached():
    network = OddlyDefined().train()
    before = network.norm.running_mean.clone()
    assert outer_layers(network, torch.randn(1, 1, 8, 8)) == {"stem", "head"}
    assert network.training
    assert torch.equal(network.norm.running_mean, before)
    assert outer_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2)) == {"1"}


def test_layers_are_named_in_the_order_that_they_run_in_as_often_as_they_do():
    class Again(OddlyDefined):
        def forward(self, images):
            return super().forward(images) + super().forward(images)

    network = Again()
    assert execution_order(network, torch.zeros(1, 1, 8, 8)) == ["stem", "body", "head"] * 2
    assert not any(module._forward_pre_hooks for module in network.modules())
    with pytest.raises(RuntimeError):
        execution_order(network, torch.zeros(1, 2, 8, 8))
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert outer_layers(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)), torch.zeros(1, 1)) == {
        "0",
        "2",
    }
    assert outer_layers(nn.Flatten(), torch.zeros(1, 1)) == set()


def named():
    network = nn.Sequential(nn.Linear(2, 2), nn.Conv1d(1, 1, 1), nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Embedding(2, 2))
    for number in (1, 3):
        nn.utils.parametrizations.weight_norm(network[number])
    return network.append(nn.Bilinear(2, 2, 2)).append(nn.Linear(2, 2))


def test_a_weight_that_is_computed_is_named_and_not_prunable():
    assert computed_layers(named()) == ["1", "3"]
    assert list(prunable_layers(named())) == ["0", "6"]


def test_patterns_fit_prunable_layers_all_of_them_one():
    network = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("stem", "body1", "body2", "head")})
    assert matching_layers(network, ["body*", "stem"]) == {"stem", "body1", "body2"}
    assert matching_layers(network, []) == set()
    for flag, name in (({}, "ignore_layers"), ({"flag": "layer_sparsity"}, "layer_sparsity")):
        with pytest.raises(UserError) as raised:
            matching_layers(network, ["stem", "steam"], **flag)
        assert str(raised.value) == f"--{name} steam fits no layer of the network: did you mean stem?"


def test_sparsities_of_layers_are_read_the_last_that_fits_counting():
    network = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("stem", "body1", "body2", "head")})

    def read(*asked):
        return layer_sparsities(network, asked, {"stem": "of this", "head": "of that"})

    assert read("*=0.5", "body1=.25", "body1=0.75") == {"stem": 0.5, "body1": 0.75, "body2": 0.5, "head": 0.5}
    assert read("body*=0.999", "head=0") == {"body1": 0.999, "body2": 0.999, "head": 0.0}
    for asked, message in (
        ("body1=1", "--layer_sparsity body1=1: the sparsity is at least 0 and below 1"),
        ("body1=1.5", "--layer_sparsity body1=1.5: the sparsity is at least 0 and below 1"),
        ("[sh]*=0.5", "--layer_sparsity [sh]*=0.5: head is not pruned: of that"),
        ("stem=0.5", "--layer_sparsity stem=0.5: stem is not pruned: of this"),
    ):
        with pytest.raises(UserError) as raised:
            read("body2=0.5", asked)
        assert str(raised.value) == message


def test_layers_are_alike_in_kind_kernel_and_groups_whatever_their_width():
    layers = {
        "plain": nn.Conv2d(4, 8, (3, 5)), "wide": nn.Conv2d(8, 16, (3, 5)), "single": nn.Conv2d(4, 1, (3, 5)),
        "long": nn.Conv2d(4, 8, (5, 5)), "grouped": nn.Conv2d(4, 8, (3, 5), groups=2),
        "more": nn.Conv2d(4, 12, (3, 5), groups=4), "depthwise": nn.Conv2d(4, 4, (3, 5), groups=4),
        "deep": nn.Conv2d(2, 2, (3, 5), groups=2), "linear": nn.Linear(4, 2), "classes": nn.Linear(3, 5),
        "logit": nn.Linear(3, 1), "transposed": nn.ConvTranspose2d(4, 8, (3, 5)),
    }  # fmt: skip
    assert like_layers(nn.ModuleDict(layers), layers) == [
        ["plain", "wide", "single"], ["long"], ["grouped", "more"], ["depthwise", "deep"],
        ["linear", "classes", "logit"], ["transposed"],
    ]  # fmt: skip
    assert like_layers(nn.ModuleDict(layers), ["wide", "linear", "plain"]) == [["wide", "plain"], ["linear"]]


OUTER = "it is the first or the last, and --outer_layer_pruning was not given"
IGNORED = "--ignore_layers names them"
SPARED = "not pruned without outer_layer_pruning: stem, head, the first and the last layer"


@pytest.mark.parametrize(
    ("left_out", "line"),
    [
        ({}, ""),
        ({"body": IGNORED}, ""),
        ({"stem": OUTER, "body": IGNORED, "head": OUTER}, SPARED),
        ({"body": "frozen"}, "1 layer is not pruned, or only in part: body (frozen)"),
        ({"stem": OUTER, "a": "x", "b": "y", "c": IGNORED, "head": OUTER},
         f"2 layers are not pruned, or only in part: a (x), b (y); {SPARED}"),
        ({"a": "x", "b": "y", "c": "z"}, "3 layers are not pruned, or only in part: a (x), b (y), c (z)"),
        ({"a": "x", "b": "y", "c": "z", "d": "x"},
         "4 layers are not pruned, or only in part: a (x), b (y), c (z), and 1 more"),
        (dict.fromkeys("abcdef", "x"),
         "6 layers are not pruned, or only in part: a (x), b (x), c (x), and 3 more"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_told_in_a_line_unless_it_was_asked_for(left_out, line):
    assert told(left_out) == line
