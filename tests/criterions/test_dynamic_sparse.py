"""Sparse all the time, but not the same weights."""

import pytest
import torch
from torch import nn

from secateur.criterions.RigL import RigL
from secateur.criterions.SET import SET
from secateur.utils.errors import UserError

BATCH = [(torch.randn(16, 12), torch.arange(16) % 5)]


def network():
    return nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 5))


@pytest.mark.parametrize("kind", [SET, RigL])
def test_every_layer_keeps_its_number_of_weights_at_every_update(build, kind):
    criterion = build(kind, network())
    criterion.planned_updates = 10
    first = criterion.prune(0.8, BATCH)
    assert first.kept == round(0.2 * (12 * 30 + 30 * 5))
    counts = {name: int(mask.sum()) for name, mask in first.masks.items()}
    masks = [first.masks]
    for _ in range(6):
        with torch.no_grad():
            for name, weight in criterion.weights.items():
                weight[criterion.masks.kept[name]] = torch.randn(counts[name])
        step = criterion.prune(0.8, BATCH)
        assert {name: int(mask.sum()) for name, mask in step.masks.items()} == counts
        masks.append(step.masks)
    assert not torch.equal(masks[0]["0"], masks[-1]["0"])


def test_rigl_by_hand(build):
    layer = nn.Linear(4, 1, bias=False)
    criterion = build(RigL, layer, "--pruning_rate 0.5", lambda outputs, targets: outputs.mean())
    criterion.planned_updates = 1
    criterion.masks.set({"": torch.tensor([[True, True, False, False]])})
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -1.0, 0.0, 0.0]]))
    # The gradient is the input. The first update of one: 0.5 * (1 + cos(pi / 2)) / 2 = 1/4 of 2 weights rounds to 0.
    step = criterion.prune(0.5, [(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), None)])
    assert step.masks[""].tolist() == [[True, True, False, False]]
    criterion.planned_updates, criterion.updates = 10**6, 0
    step = criterion.prune(0.5, [(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), None)])
    # Now one of two goes: the smaller; and the largest gradient of the others grows, from zero.
    assert step.masks[""].tolist() == [[True, False, False, True]]
    assert step.regrown[""].tolist() == [[False, False, False, True]]
    assert layer.weight.tolist() == [[3.0, 0.0, 0.0, 0.0]]


def test_rigl_grows_by_the_size_of_the_gradient_whatever_its_sign(build):
    layer = nn.Linear(4, 1, bias=False)
    criterion = build(RigL, layer, loss=lambda outputs, targets: outputs.mean())
    scores = criterion.growth_scores([(torch.tensor([[1.0, -2.0, 3.0, -9.0]]), None)])
    assert scores[""].tolist() == [[1.0, 2.0, 3.0, 9.0]]


def test_the_rate_of_rigl_falls_along_half_a_cosine(build):
    criterion = build(RigL, network(), "--pruning_rate 0.4")
    criterion.planned_updates = 3
    rates = []
    for criterion.updates in range(5):
        rates.append(criterion.drop_rate)
    assert rates == pytest.approx([0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0.2 * (1 - 0.5**0.5), 0.0])


def test_a_growing_rate_of_its_own_changes_the_number(build):
    criterion = build(SET, nn.Linear(10, 10), "--pruning_rate 0.5 --growing_rate 0.1")
    assert [criterion.prune(0.6, BATCH).kept for _ in range(2)] == [40, 24]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pattern 2:4", "--pattern 2:4 would not outlast the updates of SET"),
        ("--prune_schedule linear", "SET starts at the limit and stays there"),
        ("--prune_moment after", "SET starts at the limit and stays there"),
        ("--experiment multishot", "SET starts at the limit and stays there"),
        ("--disable_masking", "SET regrows weights, which --disable_masking leaves no record of"),
        ("--pattern 2:4 --shuffle_masks", "--shuffle_masks would destroy the --pattern"),
    ],
)
def test_what_the_updates_would_not_keep_to_is_refused(build, flags, message):
    with pytest.raises(UserError, match=message):
        build(SET, network(), flags)


def test_random_growth_is_new_at_each_update(build):
    criterion = build(SET, nn.Linear(50, 50))
    criterion.prune(0.9, [])
    first = criterion.prune(0.9, []).regrown[""]
    second = criterion.prune(0.9, []).regrown[""]
    assert not torch.equal(first, second)
