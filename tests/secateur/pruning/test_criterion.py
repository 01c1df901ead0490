import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.pruning.build import build_criterion
from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Timeline
from secateur.utils.errors import UserError


class Magnitude(Criterion):
    """A criterion as a user would write it: one method."""

    def scores(self, batches):
        return {name: weight.abs() for name, weight in self.weights.items()}


def magnitude(network, prunable=None, kind=Magnitude, **options):
    masks = Masks(network)
    return kind(network, masks, None, masks.weights if prunable is None else prunable, **options)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.floats(0, 0.999), st.data())
def test_the_target_is_hit_exactly_whatever_the_shapes(widths, sparsity, data):
    network = nn.Sequential(*[nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)])
    if data.draw(st.booleans()):
        for layer in network:
            nn.init.constant_(layer.weight, 0.5)  # ties everywhere
    criterion = magnitude(network)
    total = sum(layer.weight.numel() for layer in network)
    step = criterion.prune(sparsity, [])
    assert step.candidates == total
    assert step.kept == round((1 - sparsity) * total)
    assert sum(int(mask.sum()) for mask in criterion.masks.kept.values()) == step.kept
    pruned = sum(int((layer.weight[~criterion.masks.kept[str(i)]] == 0).all()) for i, layer in enumerate(network))
    assert pruned == len(network)


def test_a_step_says_what_it_did_and_shows_no_tensors():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    step = magnitude(network).prune(0.5, [])
    assert (step.epoch, step.sparsity, step.unit, step.regrown, step.notices) == (0, 0.5, "weights", {}, [])
    assert step.seconds > 0
    assert (step.pruned, replace(step, candidates=0, kept=0).pruned) == (0.5, 0)
    assert "tensor" not in repr(step)
    assert "candidates=24, kept=12" in repr(step)
    assert magnitude(network).prune(0.5, [], epoch=3).epoch == 3


def test_only_prunable_layers_are_pruned():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    criterion = magnitude(network, ["1"])
    step = criterion.prune(0.75, [])
    assert (step.candidates, step.kept) == (16, 4)
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


def test_a_network_without_prunable_weights_is_refused():
    with pytest.raises(UserError, match="--outer_layer_pruning"):
        magnitude(nn.Linear(2, 2), []).plan(Timeline(0, 1, 0, 1, 1))


def test_each_distribution_spreads_what_stays_over_the_layers():
    def densities(**options):
        network = nn.Sequential(nn.Linear(40, 100), nn.Linear(100, 10))
        nn.init.constant_(network[1].weight, 1.0)  # by magnitude alone the second layer would keep all
        step = magnitude(network, **options).prune(0.8, [])
        assert step.kept == 1000
        return [int(mask.sum()) for mask in step.masks.values()]

    assert densities() == densities(distribution="global") == [0, 1000]
    assert densities(distribution="uniform") == [800, 200]
    # in proportion to 140 and 110
    assert densities(distribution="erdos_renyi") == densities(distribution="erdos_renyi_kernel") == [560, 440]


@given(st.lists(st.integers(1, 12), min_size=3, max_size=4), st.lists(st.floats(0, 0.99), min_size=2, max_size=4))
def test_layer_by_layer_too_the_target_is_hit_exactly_in_several_steps(widths, sparsities):
    network = nn.Sequential(*[nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)])
    criterion = magnitude(network, distribution="erdos_renyi_kernel")
    total = sum(layer.weight.numel() for layer in network)
    before = None
    for sparsity in sorted(sparsities):
        step = criterion.prune(sparsity, [])
        assert step.kept == round((1 - sparsity) * total)
        assert before is None or all((step.masks[name] <= before[name]).all() for name in before)
        before = step.masks


def test_a_pattern_is_reached_step_by_step():
    network = nn.Sequential(nn.Linear(8, 5), nn.Conv2d(4, 4, 3))
    criterion = magnitude(network, pattern="1:4")
    kept = []
    for sparsity in (0.25, 0.5, 0.75):
        step = criterion.prune(sparsity, [])
        kept.append(step.kept)
        for mask in step.masks.values():
            groups = mask.movedim(1, -1).unflatten(-1, (-1, 4)).sum(-1)
            assert (groups == round(4 * (1 - sparsity))).all()
    assert kept == [138, 92, 46]  # of 40 + 144 weights
    assert criterion.limit == 0.75


def test_inverted_scores_prune_the_largest():
    network = nn.Linear(3, 1, bias=False)
    network.weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    magnitude(network, invert_scores=True).prune(1 / 3, [])
    assert network.weight.tolist() == [[1.0, 0.0, 2.0]]


def test_a_shuffled_mask_keeps_as_many_in_each_layer_but_others():
    def masks(seed=333, **options):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 5))
        before = network[0].weight.clone()
        criterion = magnitude(network, **options)
        criterion.seed = seed
        criterion.prune(0.5, [])
        step = criterion.prune(0.8, [], last=True)
        kept = step.masks["0"]
        # What a step had taken and the shuffle brings back has the value that it had.
        assert torch.equal(network[0].weight, before * kept)
        return step.masks

    plain, shuffled, other = masks(), masks(shuffle_masks=True), masks(shuffle_masks=True, seed=1)
    assert [int(mask.sum()) for mask in plain.values()] == [int(mask.sum()) for mask in shuffled.values()]
    assert not torch.equal(plain["0"], shuffled["0"])
    assert not torch.equal(other["0"], shuffled["0"])


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
        (WrongShape, r"WrongShape.scores: 0 has the shape \(2,\), not \(2, 2\)"),
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


class Endless(Magnitude):
    """The first weight is the worst, and then all are as bad as can be."""

    def scores(self, batches):
        sign = -1 if self.invert_scores else 1
        values = [[-torch.inf] * 4] if self.masks.kept else [[0.0, 1.0, 2.0, 3.0]]
        return dict.fromkeys(self.weights, sign * torch.tensor(values))


@pytest.mark.parametrize("invert", [False, True])
def test_what_was_pruned_ranks_behind_the_worst_score(invert):
    criterion = magnitude(nn.Linear(4, 1), kind=Endless, invert_scores=invert)
    criterion.prune(0.25, [])
    assert criterion.masks.kept[""].tolist() == [[False, True, True, True]]
    assert criterion.prune(0.5, []).kept == 2


def test_a_layer_that_is_ignored_is_not_pruned():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    options = {"ignore_layers": ["0"]}
    example = torch.zeros(1, 4)
    criterion = build_criterion(Magnitude, network, Masks(network), None, example, True, seed=0, options=options)
    assert list(criterion.weights) == ["1"]
    assert criterion.prune(0.5, []).kept == 8
    assert int(network[0].weight.count_nonzero()) == 16


def test_a_computed_weight_is_not_prunable():
    network = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    assert list(Masks(network).weights) == ["0"]
