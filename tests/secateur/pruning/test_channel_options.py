"""Options of the criteria of channels without effect, or that contradict each other; batches that are seen twice."""

import pytest
import torch
from torch import nn

import secateur
from secateur.utils.errors import UserError

IMAGES = torch.randn(24, 2, generator=torch.Generator().manual_seed(3))
BATCHES = [(part, torch.arange(8) % 3) for part in IMAGES.split(8)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def criterion(kind="SNAP", **options):
    return secateur.Pruner(network(), kind, example=IMAGES[:1], planned=False, **options).criterion


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distribution": "erdos_renyi"},
         "--distribution erdos_renyi is for weights; SNAP removes channels: global or uniform, isomorphic or "
         "sensitivity"),
        ({"shuffle_masks": True}, "--shuffle_masks is for masks of weights, and SNAP removes channels: leave it out"),
        ({"disable_masking": True},
         "--disable_masking is for masks of weights, and SNAP removes channels: leave it out"),
        ({"pattern": "2:4"}, "--pattern 2:4 is for weights, and SNAP removes channels: leave it out"),
        ({"repair": ["merge"], "compensate": "least_squares"},
         "--repair merge and --compensate least_squares adjust the same weights: give one"),
        ({"target": ["params=0.5"], "sparsity": 0.5},
         "--target params=0.5 says how much is pruned: leave out the limit"),
    ],
)  # fmt: skip
def test_what_is_for_weights_or_said_twice_is_refused_in_a_line(options, message):
    with pytest.raises(UserError) as error:
        criterion(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "compensation"),
    [
        ({}, "none"),
        ({"compensate": "least_squares"}, "least_squares"),
        ({"compensate": "merge"}, "merge"),
        ({"repair": ["merge", "bn"]}, "merge"),
        ({"repair": ["merge"], "compensate": "merge"}, "merge"),
        ({"repair": ["bn"], "compensate": "least_squares"}, "least_squares"),
    ],
)
def test_options_of_merging_have_an_effect_where_channels_are_merged(options, compensation):
    found = criterion(**options)
    assert found.compensation == compensation
    idle = found.idle_options()
    names = ("merge_threshold", "merge_lambda", "merge_formula")
    without = dict.fromkeys(names, "without --compensate merge")
    assert {name: idle[name] for name in names if name in idle} == ({} if compensation == "merge" else without)
    assert idle["outer_layer_pruning"] == ""


@pytest.mark.parametrize(
    ("kind", "flag", "idle"),
    [
        ("CNIP", "outer_layer_pruning", False),
        ("L1Norm", "outer_layer_pruning", True),
        ("GroupHoyerSquare", "round_to", True),
        ("GroupHoyerSquare", "outer_layer_pruning", True),
        ("L1Norm", "round_to", False),
        ("L1Norm", "snip_steps", True),
    ],
)
def test_some_options_have_an_effect_on_some_criteria(kind, flag, idle):
    assert (flag in criterion(kind).idle_options()) == idle


def test_batches_that_come_once_are_there_for_scores_and_for_least_squares():
    def pruned(batches, compensate):
        found = network()
        made = secateur.Pruner(found, "SNAP", example=IMAGES[:1], planned=False, compensate=compensate)
        made.criterion.prune(0.5, batches)
        return found.state_dict()

    once, often = (pruned(batches, "least_squares") for batches in (iter(BATCHES), BATCHES))
    assert all(torch.equal(once[name], tensor) for name, tensor in often.items())
    assert not torch.equal(once["4.weight"], pruned(BATCHES, "none")["4.weight"])
