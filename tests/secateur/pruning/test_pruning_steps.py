"""Single steps of pruning, weight by weight: what comes back and with which values, and what a step says of itself."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks


class Given(Criterion):
    """The scores that it is handed for batches."""

    def scores(self, batches):
        return {name: torch.tensor(score) for name, score in batches.items()}


class Valued(Given):
    regrowth = "value"


class Zeroed(Given):
    regrowth = "zero"


def rows(*weights, kind=Given, **options):
    """A criterion of layers of one output each, with these weights."""
    network = nn.ModuleDict(
        {name: nn.Linear(len(row), 1, bias=False) for name, row in zip("ab", weights, strict=False)}
    )
    with torch.no_grad():
        for layer, row in zip(network.values(), weights, strict=True):
            layer.weight.copy_(torch.tensor([row]))
    masks = Masks(network)
    return kind(network, masks, None, masks.weights, **options)


def left(criterion):
    return {name: weight.tolist()[0] for name, weight in criterion.weights.items()}


def test_weights_come_back_to_the_values_that_they_had():
    criterion = rows([1.0, 2.0, 3.0, 4.0], kind=Valued)
    criterion.prune(0.5, {"a": [[1.0, 2.0, 3.0, 4.0]]})
    assert left(criterion) == {"a": [0, 0, 3, 4]}
    criterion.weights["a"].data[0, 3] = 5.0  # trained
    assert criterion.dense_weights()["a"].tolist() == [[1, 2, 3, 5]]
    step = criterion.prune(0.5, {"a": [[4.0, 3.0, 2.0, 1.0]]})
    assert left(criterion) == {"a": [1, 2, 0, 0]}
    assert (step.regrown["a"].tolist(), step.kept) == ([[True, True, False, False]], 2)
    step = criterion.prune(0.25, {"a": [[1.0, 2.0, 3.0, 4.0]]})
    assert left(criterion) == {"a": [0, 2, 3, 5]}
    assert step.scores["a"].tolist() == [[1, 2, 3, 4]]  # nothing ranks behind as it was pruned before


def test_weights_come_back_from_zero_where_that_is_how_they_grow():
    criterion = rows([1.0, 2.0, 3.0, 4.0], kind=Zeroed)
    criterion.prune(0.5, {"a": [[1.0, 2.0, 3.0, 4.0]]})
    step = criterion.prune(0.25, {"a": [[4.0, 3.0, 2.0, 1.0]]})
    assert left(criterion) == {"a": [0, 0, 3, 0]}
    assert step.masks["a"].tolist() == criterion.kept()["a"].tolist() == [[True, True, True, False]]
    assert step.regrown["a"].tolist() == [[True, True, False, False]]
    assert criterion.prune(0.25, {"a": [[4.0, 3.0, 2.0, 1.0]]}).regrown == {}


def test_a_layer_of_its_own_sparsity_grows_again_where_a_later_step_asks_for_less():
    criterion = rows([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], kind=Valued)
    criterion.own_sparsities = {"a": 0.5}
    scores = {"a": [[1.0, 2.0, 3.0, 4.0]], "b": [[1.0, 2.0, 3.0, 4.0]]}
    assert (criterion.prune(0.5, scores).kept, left(criterion)) == (4, {"a": [0, 0, 3, 4], "b": [0, 0, 7, 8]})
    step = criterion.prune(0.25, scores)
    assert (step.kept, left(criterion)) == (6, {"a": [0, 2, 3, 4], "b": [0, 6, 7, 8]})
    kept = rows([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0])
    kept.own_sparsities = {"a": 0.5}
    kept.prune(0.5, scores)
    kept.prune(0.25, scores)
    assert left(kept) == {"a": [0, 0, 3, 4], "b": [0, 0, 7, 8]}


def test_a_step_tells_the_sparsity_that_it_was_to_have_unless_something_else_decides():
    scores = {"a": [[1.0, 2.0, 3.0]], "b": [[4.0, 5.0, 6.0, 7.0]]}
    weights = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]
    assert rows(*weights).prune(0.3, scores).sparsity == 0.3
    criterion = rows(*weights)
    criterion.own_sparsities = {"b": 0.25}
    step = criterion.prune(0.5, scores)
    assert (step.kept, step.sparsity) == (5, 1 - 5 / 7)  # round(0.5 * 3) and 0.75 * 4
    step = rows(*weights, kind=type("Threshold", (Given,), {"has_limit": False})).prune(0.3, scores)
    assert (step.kept, step.sparsity) == (5, 1 - 5 / 7)


def test_a_step_tells_how_long_it_took(monkeypatch):
    clock = SimpleNamespace(perf_counter=iter([3.0, 7.5]).__next__)
    monkeypatch.setattr("secateur.pruning.criterion.time", clock)
    assert rows([1.0, 2.0]).prune(0.5, {"a": [[1.0, 2.0]]}).seconds == 4.5


SCORES = {"a": [[float(number) for number in range(40)]]}
LARGEST = [[False] * 20 + [True] * 20]


@pytest.mark.parametrize("name", ["prune", "prune_by", "prune_and_repair"])
def test_a_step_is_not_the_last_unless_that_is_said_and_only_the_last_is_shuffled(name):
    def step(*more, **named):
        criterion = rows([1.0] * 40, shuffle_masks=True)
        given = criterion.scores(SCORES) if name == "prune_by" else SCORES
        arguments = (given, 0.5) if name == "prune_by" else (0.5, given)
        return getattr(criterion, name)(*arguments, *more, **named)

    assert (step().epoch, step().masks["a"].tolist()) == (0, LARGEST)
    assert (step(3).epoch, step(3).masks["a"].tolist()) == (3, LARGEST)
    last = step(epoch=4, last=True)
    assert (last.epoch, last.masks["a"].tolist() == LARGEST, last.kept) == (4, False, 20)
    assert rows([1.0] * 40).prune(0.5, SCORES, 0, True).masks["a"].tolist() == LARGEST


def test_repairs_are_made_where_a_step_is_the_final_one_which_it_is_unless_that_is_said():
    torch.manual_seed(0)
    batches = [(torch.randn(8, 3), torch.zeros(8))]

    def step(**named):
        network = nn.Linear(3, 2)
        masks = Masks(network)

        class Sized(Criterion):
            def scores(self, batches):
                return {name: weight.abs() for name, weight in self.weights.items()}

        return Sized(network, masks, None, masks.weights, repair=["bias"]).prune_and_repair(0.5, batches, **named)

    assert [one.name for one in step().repairs] == ["bias"]
    assert step(final=False).repairs == []


def test_a_pattern_is_approached_by_the_share_that_is_kept():
    criterion = rows([1.0] * 8, pattern="2:4")
    scores = {"a": [[1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 5.0]]}
    assert criterion.prune(0.25, scores).masks["a"].tolist() == [[False] + [True] * 6 + [False]]
    assert criterion.prune(0.5, scores).masks["a"].tolist() == [[False] * 2 + [True] * 4 + [False] * 2]
    assert criterion.limit == 0.5


def test_like_layers_are_told_to_the_distribution_that_asks_for_them():
    criterion = rows([1.0] * 4, [1.0] * 8, distribution="isomorphic")
    # both are linear layers, so that they are ranked as one; a layer each, half of each would stay
    masks = criterion.prune(0.5, {"a": [[1.0] * 4], "b": [[2.0] * 8]}).masks
    assert [int(mask.sum()) for mask in masks.values()] == [0, 6]
