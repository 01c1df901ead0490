import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.errors import UserError
from utils.pruning.criterion import Criterion
from utils.pruning.masks import Masks


class Magnitude(Criterion):
    """A criterion as a user would write it: one method."""

    def scores(self, batches):
        return {name: weight.abs() for name, weight in self.weights.items()}


def magnitude(network, competing=None, kind=Magnitude):
    masks = Masks(network)
    return kind(network, masks, None, masks.weights if competing is None else competing, None)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0, 0.999), st.data())
def test_the_target_is_hit_exactly_whatever_the_shapes(widths, sparsity, data):
    network = nn.Sequential(*[nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)])
    if data.draw(st.booleans()):
        for layer in network:
            nn.init.constant_(layer.weight, 0.5)  # ties everywhere
    criterion = magnitude(network)
    total = sum(layer.weight.numel() for layer in network)
    event = criterion.prune(sparsity, [])
    assert event.competing == total
    assert event.kept == round((1 - sparsity) * total)
    assert sum(int(mask.sum()) for mask in criterion.masks.kept.values()) == event.kept
    pruned = sum(int((layer.weight[~criterion.masks.kept[str(i)]] == 0).all()) for i, layer in enumerate(network))
    assert pruned == len(network)


def test_only_those_that_compete_are_pruned():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    criterion = magnitude(network, ["1"])
    event = criterion.prune(0.75, [])
    assert (event.competing, event.kept) == (16, 4)
    assert list(criterion.masks.kept) == ["1"]
    assert network[0].weight.count_nonzero() == 16


def test_a_pruned_weight_never_comes_back():
    network = nn.Linear(10, 10)
    criterion = magnitude(network)
    criterion.prune(0.5, [])
    first = criterion.masks.kept[""].clone()
    with torch.no_grad():
        network.weight[~first] = 100.0  # as large as it may score now
    criterion.prune(0.7, [])
    assert not (criterion.masks.kept[""] & ~first).any()
    assert int(criterion.masks.kept[""].sum()) == 30
    # a target below what is gone already changes nothing
    assert criterion.prune(0.2, []).kept == 30


def test_layer_collapse_is_reported_once():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    nn.init.constant_(network[0].weight, 0.1)
    nn.init.constant_(network[1].weight, 1.0)
    criterion = magnitude(network)
    assert criterion.prune(0.25, []).collapsed == []
    assert criterion.prune(0.5, []).collapsed == ["0"]
    assert criterion.prune(0.6, []).collapsed == []


def test_nothing_to_compete_is_refused(make_arguments):
    criterion = magnitude(nn.Linear(2, 2), [])
    criterion.arguments = make_arguments()
    with pytest.raises(UserError, match="--outer_layer_pruning"):
        criterion.plan()


class NotANumber(Magnitude):
    def scores(self, batches):
        return {name: weight * float("nan") for name, weight in self.weights.items()}


class WrongShape(Magnitude):
    def scores(self, batches):
        return {name: weight.sum(0) for name, weight in self.weights.items()}


class Forgetful(Magnitude):
    def scores(self, batches):
        return {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NotANumber, "NotANumber: the scores of 0 are not numbers"),
        (WrongShape, r"WrongShape.scores: 0 has the shape \(2,\), its weight \(2, 2\)"),
        (Forgetful, "Forgetful.scores must return one tensor for each layer"),
    ],
)
def test_scores_that_say_nothing_are_refused_naming_criterion_and_layer(kind, message):
    with pytest.raises(UserError, match=message):
        magnitude(nn.Sequential(nn.Linear(2, 2)), kind=kind).prune(0.5, [])


class Huge(Magnitude):
    """Scores beyond float32, and minus infinity among them."""

    def scores(self, batches):
        values = torch.arange(100, dtype=torch.float64).view(10, 10) * 1e60
        values[0] = -torch.inf
        return dict.fromkeys(self.weights, values)


def test_scores_beyond_float32_and_minus_infinity_are_ranked_right():
    network = nn.Linear(10, 10)
    criterion = magnitude(network, kind=Huge)
    criterion.prune(0.5, [])
    assert criterion.masks.kept[""].flatten().tolist() == [False] * 50 + [True] * 50
    criterion.prune(0.95, [])
    assert criterion.masks.kept[""].flatten().tolist() == [False] * 95 + [True] * 5


def test_a_computed_weight_is_not_prunable():
    network = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    assert list(Masks(network).weights) == ["0"]
