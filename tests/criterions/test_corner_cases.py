"""Criteria where norms have no scales, weights are frozen, idle or zero, and where steps follow flags of their own."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur import criterions
from secateur.criterions.BNScale import BNScale
from secateur.criterions.CNIP import CNIP
from secateur.criterions.GroupHoyerSquare import GroupHoyerSquare
from secateur.criterions.HoyerSquare import HoyerSquare
from secateur.criterions.MovementPruning import MovementPruning
from secateur.criterions.Narrower import Narrower
from secateur.criterions.RigL import RigL
from secateur.criterions.SET import SET
from secateur.criterions.SynFlow import SynFlow
from secateur.criterions.UnstructuredRandom import UnstructuredRandom
from secateur.pruning.plan import Timeline
from secateur.utils.errors import UserError


class Normed(nn.Module):
    """Three channels that are added up behind a norm each, and two behind a norm without scales."""

    def __init__(self):
        super().__init__()
        self.one, self.norm = nn.Linear(2, 3), nn.BatchNorm1d(3)
        self.other, self.second = nn.Linear(2, 3), nn.BatchNorm1d(3)
        self.plain, self.bare = nn.Linear(3, 2), nn.BatchNorm1d(2, affine=False)
        self.last = nn.Linear(2, 2)
        self.norm.weight.data = torch.tensor([-2.0, 0.5, 1.0])
        self.second.weight.data = torch.tensor([0.25, -3.0, 0.0])

    def forward(self, inputs):
        added = self.norm(self.one(inputs)) + self.second(self.other(inputs))
        return self.last(self.bare(self.plain(added.relu())).relu())


def test_the_scales_of_several_norms_add_up_and_norms_without_any_do_not_count(traced):
    criterion = traced(BNScale, Normed())
    (coupled,) = [root for root in criterion.groups if root != "plain"]
    scores = criterion.channel_scores([])
    assert {root: score.tolist() for root, score in scores.items()} == {
        coupled: [2.25, 3.5, 1.0], "plain": [torch.inf, torch.inf],
    }  # fmt: skip


def test_synflow_scores_frozen_weights_and_those_that_nothing_flows_through(build):
    class Idle(nn.Sequential):
        def forward(self, inputs):
            return self[1](self[0](inputs))

    network = Idle(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False), nn.Linear(3, 1))
    network[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    network[1].weight.data = torch.tensor([[5.0, -6.0]])
    network.requires_grad_(False)
    scores = build(SynFlow, network).scores([(torch.randn(3, 2), None)])
    assert {name: score.tolist() for name, score in scores.items()} == {
        "0": [[5.0, 10.0], [18.0, 24.0]], "1": [[15.0, 42.0]], "2": [[0.0, 0.0, 0.0]],
    }  # fmt: skip
    assert not network[0].weight.requires_grad


def test_movement_counts_for_the_layers_that_were_seen(build):
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False))
    network[0].weight.data = torch.tensor([[2.0, -1.0]])
    criterion = build(MovementPruning, network)
    criterion.after_backward({"0": torch.tensor([[3.0, 4.0]])})
    assert {name: score.tolist() for name, score in criterion.scores([]).items()} == {
        "0": [[-6.0, 4.0]], "1": [[0.0], [0.0]],
    }  # fmt: skip
    assert criterion.needs_dense_gradients


def test_a_kept_weight_of_zero_counts_as_positive_in_set(build):
    layer = nn.Linear(8, 1, bias=False)
    criterion = build(SET, layer, "--pruning_rate 0.5 --growing_rate 0")
    criterion.masks.set({"": torch.tensor([[True] * 6 + [False] * 2])})
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.5, 2.0, 3.0, -1.0, -2.0, 0.0, 0.0]]))
    step = criterion.prune(0.25, [])
    # two of 0, 0.5, 2 and 3, and one of -1 and -2
    assert step.masks[""].int().tolist() == [[0, 0, 1, 1, 0, 1, 0, 0]]


WHY = "with --growth_batches training"


@pytest.mark.parametrize(
    ("flags", "idle"),
    [
        ("", {"score_mode": None, "saliency_batches": None, "samples_per_class": None, "prune_freq": None}),
        ("--growth_batches training",
         {"score_mode": WHY, "saliency_batches": WHY, "samples_per_class": WHY, "snip_steps": ""}),
    ],
)  # fmt: skip
def test_gradients_of_training_leave_options_of_scores_without_effect_in_rigl(build, flags, idle):
    criterion = build(RigL, nn.Linear(2, 2), flags)
    found = criterion.idle_options()
    assert {name: found.get(name) for name in idle} == idle
    assert criterion.needs_dense_gradients == bool(flags)


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        ("--epochs 8 --update_steps 25", [0, 25, 50]),
        ("--epochs 8 --update_steps 25 --prune_freq 2", [0, 20, 40]),
        ("--epochs 9 --prune_freq 1", [0, 10, 20, 30, 40, 50, 60]),  # T_end is 67.5
        ("--epochs 8 --update_steps 30", [0, 30]),  # T_end is 60, at which there is none
    ],
)
def test_updates_of_rigl_come_by_epochs_where_those_are_given(build, flags, steps):
    criterion = build(RigL, nn.Linear(2, 2), flags)
    epochs = int(flags.split()[1])
    plan = criterion.plan(Timeline(0, epochs, 0, criterion.prune_freq, 10))
    assert list(plan.pruning_steps) == steps
    assert criterion.times == [step / int(7.5 * epochs) for step in steps[1:]]


@pytest.mark.parametrize(
    ("flags", "limit"),
    [
        ("--pattern 1:4 --pruning_rate 0.98", 0.75),
        ("--pruning_rate 0.25", 0.25),
        ("--pattern 1:4", 0.75),
        ("--pruning_limit 0.7", 0.7),
    ],
)
def test_a_pattern_says_the_limit_of_random_pruning_and_no_rate_does(build, flags, limit):
    assert build(UnstructuredRandom, nn.Linear(8, 4), flags).limit == limit


def test_places_of_units_in_their_layer_say_in_which_turn_a_narrower_network_loses_them(traced):
    network = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2), nn.Linear(2, 1))
    before = network[2].weight.detach().clone()
    criterion = traced(Narrower, network)
    scores = criterion.channel_scores([])
    assert {root: score.tolist() for root, score in scores.items()} == {"0": [0.0] * 4, "1": [0.0] * 2}
    found = criterion.unit_scores(scores)
    assert {root: score.tolist() for root, score in found.items()} == {
        "0": [0.875, 0.625, 0.375, 0.125], "1": [0.75, 0.25],
    }  # fmt: skip
    step = criterion.prune(0.3, [])
    assert step.removed == [("0", [3]), ("1", [1])]
    torch.testing.assert_close(network[2].weight, before[:, :1] * 2**0.5)


def test_a_threshold_prunes_at_the_first_epoch_unless_told_and_says_what_it_has_come_to(build, traced):
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[0.5, -0.0005, 0.001, 0.002]])
    step = build(HoyerSquare, layer).prune(0.9, [])
    assert (step.epoch, step.sparsity, step.kept) == (0, 0.5, 2)
    network = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    network[0].weight.data[:3] = torch.tensor([[0.0, 0.0005], [0.0, -0.001], [0.002, 0.0]])
    step = traced(GroupHoyerSquare, network).prune(0.9, [])
    assert (step.epoch, step.sparsity, step.kept) == (0, 0.5, 2)
    assert step.removed == [("0", [0, 1])]


def test_cnip_counts_the_time_of_both_and_begins_at_the_first_epoch(traced, monkeypatch):
    times = iter([10.0, 12.5])
    monkeypatch.setattr(criterions.CNIP, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    network = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    criterion = traced(CNIP, network)
    step = criterion.prune(0.5, [(torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))])
    assert step.epoch == step.weights.epoch == 0
    assert step.seconds == 2.5


def test_a_network_of_norms_without_scales_has_none_to_prune_by(traced):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    with pytest.raises(UserError) as error:
        traced(BNScale, network).channel_scores([])
    assert str(error.value) == "BNScale prunes by the scales of norms, and this network has no norm with scales"
