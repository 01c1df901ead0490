"""Quotas of layers that are pruned by their inputs, and which weights they let stay."""

import pytest
import torch
from torch import nn

from secateur.pruning.layerwise import LayerwiseCriterion, Quota, calibration_images
from secateur.pruning.masks import Masks
from secateur.utils.errors import UserError


def quota(columns, keep=0, pattern=None, inputs=0, rows=1):
    return Quota(torch.ones(1, rows, columns, dtype=torch.bool), keep, pattern, inputs)


@pytest.mark.parametrize(
    ("one", "size", "blocks", "numbers"),
    [
        (quota(10), 4, [(0, 4), (4, 8), (8, 10)], [0] * 10),
        (quota(8), 4, [(0, 4), (4, 8)], [0] * 8),
        (quota(3), 4, [(0, 3)], [0] * 3),
        (quota(10, pattern=(2, 4), inputs=5), 3, [(0, 4), (4, 5), (5, 9), (9, 10)], [0, 0, 0, 0, 1, 2, 2, 2, 2, 3]),
        (quota(8, pattern=(1, 2), inputs=4), 3, [(0, 2), (2, 4), (4, 6), (6, 8)], [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
)
def test_columns_fall_into_blocks_and_the_groups_of_a_pattern(one, size, blocks, numbers):
    assert list(one.blocks(size)) == blocks
    assert one.group_of_column().tolist() == numbers
    assert one.group_of_column().dtype == torch.long


def test_a_block_has_a_quota_of_its_own():
    one = Quota(torch.tensor([[[True, False, True, False, True]]]), 3, (2, 4), 5)
    part = one.of_block(1, 4, 2)
    assert part.alive.tolist() == [[[False, True, False]]]
    assert (part.keep, part.pattern, part.inputs) == (2, (2, 4), 3)


class ByWeight(LayerwiseCriterion):
    """Scores that are the weights, and the statistics that it was shown."""

    def matrix_scores(self, weight, inputs):
        self.shown = [*getattr(self, "shown", []), inputs]
        return weight


class ByOutput(ByWeight):
    compared = "output"


class OfMoments(ByWeight):
    needs_moments = True


def criterion_of(network, kind=ByWeight, prunable=None, **options):
    masks = Masks(network)
    return kind(network, masks, None, masks.weights if prunable is None else prunable, **options)


SCORES = [[[5.0, 1.0, 4.0, 4.0], [2.0, 7.0, 3.0, 0.0]], [[6.0, 6.0, 6.0, 6.0], [-1.0, -2.0, -3.0, -4.0]]]


@pytest.mark.parametrize(
    ("kind", "options", "one", "kept"),
    [
        (ByWeight, {}, {"keep": 6}, [[[0], [1]], [[0, 1, 2, 3], []]]),
        (ByWeight, {}, {"keep": 7}, [[[0, 2], [1]], [[0, 1, 2, 3], []]]),
        (ByWeight, {"invert_scores": True}, {"keep": 6}, [[[1], [3]], [[], [0, 1, 2, 3]]]),
        (ByOutput, {}, {"keep": 8}, [[[0, 2], [1, 2]], [[0, 1], [0, 1]]]),
        (ByOutput, {}, {"keep": 9}, [[[0, 2, 3], [1, 2]], [[0, 1], [0, 1]]]),
        (ByOutput, {"invert_scores": True}, {"keep": 4}, [[[1], [3]], [[0], [3]]]),
        (ByOutput, {}, {"keep": 0}, [[[], []], [[], []]]),
        (ByWeight, {}, {"pattern": (1, 2), "inputs": 4}, [[[0, 2], [1, 2]], [[0, 2], [0, 2]]]),
        # groups of two inputs and one, at each of two places: none of another place
        (ByWeight, {}, {"pattern": (1, 2), "inputs": 2}, [[[0, 2], [1, 2]], [[0, 2], [0, 2]]]),
        (ByOutput, {}, {"pattern": (1, 4), "inputs": 2}, [[[0, 2], [1, 2]], [[0, 2], [0, 2]]]),
        (ByWeight, {}, {"pattern": (1, 4), "inputs": 4}, [[[0], [1]], [[0], [0]]]),
    ],
)
def test_the_largest_scores_stay_as_many_as_the_quota_says(kind, options, one, kept):
    criterion = criterion_of(nn.Linear(2, 2), kind, **options)
    given = Quota(torch.ones(2, 2, 4).bool(), **({"keep": 0, "pattern": None, "inputs": 4} | one))
    found = criterion.chosen(torch.tensor(SCORES), given)
    assert (found.dtype, found.shape) == (torch.bool, (2, 2, 4))
    assert [[row.nonzero().flatten().tolist() for row in group] for group in found] == kept


def test_what_was_pruned_before_ranks_behind_all_others():
    alive = torch.tensor([[[False, True, True, True], [True, False, False, True]]])
    scores = torch.tensor(SCORES[:1])
    found = criterion_of(nn.Linear(2, 2)).chosen(scores, Quota(alive, 3, None, 4))
    assert found.tolist() == [[[False, False, True, True], [True, False, False, False]]]
    # of three and two that are left, two each
    found = criterion_of(nn.Linear(2, 2), ByOutput).chosen(scores, Quota(alive, 4, None, 4))
    assert found.tolist() == [[[False, False, True, True], [True, False, False, True]]]
    found = criterion_of(nn.Linear(2, 2)).chosen(scores, Quota(alive, 4, (1, 2), 4))
    assert found.tolist() == [[[False, True, True, False], [True, False, False, True]]]


def test_images_of_all_batches_are_looked_at():
    batches = [(torch.ones(2, 3), None), (torch.zeros(1, 3), None)]
    assert calibration_images(iter(batches)).tolist() == [[1.0] * 3] * 2 + [[0.0] * 3]
    with pytest.raises(UserError) as raised:
        calibration_images([])
    assert str(raised.value) == "scores are computed on batches of training data, and there are none: give batches="


def batches_of(*numbers):
    return [(torch.full((1, 2), float(number)), None) for number in numbers]


def test_the_images_are_those_of_the_step_and_are_let_go_of_after_it():
    criterion = criterion_of(nn.Linear(2, 2, bias=False))
    scores = criterion.scores(batches_of(1, 3))
    assert torch.equal(scores[""], criterion.weights[""].detach().double())
    assert criterion.shown[0].mean.tolist() == [[2.0, 2.0]]
    criterion.scores(batches_of(9))  # the images are there already
    assert criterion.shown[1].mean.tolist() == [[2.0, 2.0]]
    criterion.prune(0.5, batches_of(5))
    assert criterion.images is None
    assert [one.mean.tolist() for one in criterion.shown[2:]] == [[[5.0, 5.0]]] * 2  # to rank layers, and to prune
    assert [one.moments for one in criterion.shown] == [None] * 4
    with pytest.raises(UserError, match="there are none"):
        criterion.prune(0.5, [])
    assert criterion.images is None
    criterion = criterion_of(nn.Linear(2, 2), OfMoments)
    criterion.scores(batches_of(3))
    assert criterion.shown[0].moments.tolist() == [[[9.0, 9.0], [9.0, 9.0]]]


class Twice(nn.Module):
    """A layer that runs twice, one that does not run, and one that is not to be pruned."""

    def __init__(self):
        super().__init__()
        self.twice, self.idle, self.last = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, images):
        return self.last(self.twice(self.twice(images)))


def test_of_a_layer_that_runs_twice_the_first_use_counts_and_one_that_does_not_run_is_pruned_too():
    network = Twice()
    with torch.no_grad():
        network.twice.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        network.idle.weight.copy_(torch.tensor([[1.0, 2.0]]))
    criterion = criterion_of(network, prunable=["twice", "idle"])
    step = criterion.prune(0.5, batches_of(7), 3)
    assert step.epoch == 3
    assert [one.mean.tolist() for one in criterion.shown] == [[[7.0, 7.0]], [[0.0, 0.0]]] * 2
    assert {name: mask.tolist() for name, mask in step.masks.items()} == {
        "twice": [[False, False], [True, True]],
        "idle": [[False, True]],
    }
    assert network.last.weight.count_nonzero() == 2
    assert list(step.masks) == list(step.scores) == ["twice", "idle"]
    assert criterion.prune(0.5, batches_of(7)).epoch == 0


def test_weights_are_set_to_what_the_method_makes_of_them_and_what_was_pruned_stays_so():
    class Doubling(ByWeight):
        def prune_matrix(self, weight, inputs, quota):
            assert (quota.keep, quota.pattern, quota.inputs) == (1, None, 2)  # one of four
            return 2 * weight, torch.ones_like(quota.alive)

    network = nn.Conv1d(4, 2, 1, groups=2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))
    criterion = criterion_of(network, Doubling)
    criterion.masks.set({"": torch.tensor([[[True], [True]], [[False], [True]]])})
    images = [(torch.ones(1, 4, 1), None)]
    step = criterion.prune(0.75, images)
    assert step.masks[""].flatten().tolist() == [True, True, False, True]
    assert network.weight.flatten().tolist() == [2.0, 4.0, 0.0, 8.0]
    assert step.kept == 3


def test_a_method_says_how_it_scores():
    with pytest.raises(NotImplementedError, match=r"Silent has no method matrix_scores\(weight, inputs\)"):
        criterion_of(nn.Linear(2, 2), type("Silent", (LayerwiseCriterion,), {})).scores(batches_of(1))
