"""Criteria as they are built for a network at hand: which layers are left out and why, and what is given for images."""

import pytest
import torch
from torch import nn

from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.SNIP import SNIP
from secateur.pruning.build import build_criterion, image_of, removes_channels, split_options
from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks
from secateur.pruning.pruner import Pruner
from secateur.utils.errors import UserError

EXAMPLE = torch.zeros(1, 4)


class Plain(Criterion):
    """Scores nothing."""


class Dense(Plain):
    needs_dense_gradients = True


def network():
    """Layers that are the first, frozen, free, computed, free, and the last; an activation has a number of its own."""
    layers = [nn.Linear(4, 4) for _ in range(6)]
    layers[1].requires_grad_(False)
    layers[3] = nn.utils.parametrizations.weight_norm(layers[3])
    return nn.Sequential(*layers[:2], nn.ReLU(), *layers[2:])


def build(kind, one=None, outer=False, **options):
    one = network() if one is None else one
    return build_criterion(kind, one, Masks(one), None, EXAMPLE, outer, seed=5, options=options)


OUTER = "it is the first or the last, and --outer_layer_pruning was not given"
COMPUTED = "its weight is computed from other tensors, as by a parametrization"
FROZEN = "it is frozen, and scores come from the gradients of training"
IGNORED = "--ignore_layers names them"


@pytest.mark.parametrize(
    ("kind", "options", "left_out", "weights"),
    [
        (Plain, {}, {"0": OUTER, "4": COMPUTED, "6": OUTER}, ["1", "3", "5"]),
        (Plain, {"outer": True}, {"4": COMPUTED}, ["0", "1", "3", "5", "6"]),
        (Dense, {}, {"0": OUTER, "1": FROZEN, "4": COMPUTED, "6": OUTER}, ["3", "5"]),
        (Dense, {"outer": True, "ignore_layers": ["5", "[01]"]},
         {"0": IGNORED, "1": IGNORED, "4": COMPUTED, "5": IGNORED}, ["3", "6"]),
        (Plain, {"ignore_layers": ["6"]}, {"0": OUTER, "4": COMPUTED, "6": IGNORED}, ["1", "3", "5"]),
    ],
)  # fmt: skip
def test_layers_are_left_out_each_with_its_reason_in_the_order_of_the_network(kind, options, left_out, weights):
    criterion = build(kind, **options)
    assert list(criterion.left_out.items()) == list(left_out.items())
    assert list(criterion.weights) == weights
    assert criterion.ignored == {name for name, why in left_out.items() if why == IGNORED}


def test_a_sparsity_of_ones_own_is_for_layers_that_are_pruned():
    assert build(Plain, layer_sparsity=["*=0.25", "5=0"]).own_sparsities == {"1": 0.25, "3": 0.25, "5": 0.0}
    assert build(Plain, outer=True, layer_sparsity=["0=0.25"]).own_sparsities == {"0": 0.25}
    assert build(Plain).own_sparsities == {}


def test_a_criterion_knows_the_image_the_widths_the_seed_and_whether_it_is_a_smoke_run():
    one = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    criterion = build(Plain, one)
    assert criterion.example is EXAMPLE
    assert criterion.dense_outputs == {"0": 3, "1": 2}
    assert (criterion.seed, criterion.smoke, criterion.meter) == (5, False, None)
    tiny = build_criterion(
        Plain, one, Masks(one), None, EXAMPLE, False, seed=1, smoke=True, options={"target": ["params=0.5"]}
    )
    assert (tiny.smoke, [target.name for target in tiny.meter.targets]) == (True, ["params"])


@pytest.mark.parametrize("kind", [nn.Linear, 3, Plain(nn.Linear(2, 2), Masks(nn.Linear(2, 2)), None, [])])
def test_what_is_no_criterion_is_refused(kind):
    with pytest.raises(UserError) as raised:
        build(kind)
    assert str(raised.value) == f"{kind!r} is not a criterion: a name, or a class derived from Criterion"


def test_channels_or_weights():
    assert [removes_channels(kind) for kind in ("L1Norm", L1Norm, "SNIP", SNIP, object)] == [True] * 2 + [False] * 3


def test_options_are_divided_by_name_or_flag():
    own, others = split_options(SNIP, {"schedule": "cubic", "prune_moment": "after", "rewind_to": 1, "other": 2})
    assert own == {"schedule": "cubic", "prune_moment": "after"}
    assert others == {"rewind_to": 1, "other": 2}
    assert split_options(Pruner, {"schedule": "cubic", "rewind_epoch": 3, "rewind_to": 1}) == (
        {"rewind_to": 1},
        {"schedule": "cubic", "rewind_epoch": 3},
    )


class Refusing(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        raise RuntimeError("no\n  such layer")


class Drawing(nn.Dropout):
    """Draws random numbers in evaluation mode too."""

    def forward(self, images):
        return images + torch.rand(1)


FIRST = torch.arange(12.0).view(3, 1, 2, 2)


@pytest.mark.parametrize("batches", [[(FIRST, 1), None], [[FIRST, 1]], iter([(FIRST, None)])])
def test_an_image_is_the_first_of_the_first_batch(batches):
    one = nn.Sequential(Drawing(), nn.Flatten(), nn.Linear(4, 2))
    state = torch.get_rng_state()
    assert torch.equal(image_of(one, batches, None), FIRST[:1])
    assert image_of(one, [], FIRST) is FIRST
    assert image_of(nn.Flatten(), [], FIRST) is FIRST  # which has no parameters
    assert torch.equal(torch.get_rng_state(), state)
    assert one.training


@pytest.mark.parametrize(
    ("given", "example", "message"),
    [
        ([], None, "give batches=, some (inputs, targets), or example=, an image (1, C, H, W)"),
        ([{"image": 1}], None, "batches= yields dictionaries of 'image': give pairs of inputs and targets, as "
         "[(one['image'], one[...]) for one in loader]"),
        ([{"a": 1, "b": 2, "c": 3}], None, "batches= yields dictionaries of 'a', 'b', 'c': give pairs of inputs and "
         "targets, as [(one['a'], one['b']) for one in loader]"),
        ([{}], None, "batches= yields dictionaries of : give pairs of inputs and targets, as "
         "[(one[...], one[...]) for one in loader]"),
        ([(FIRST, 1, 2)], None,
         "batches= yields a tuple: give pairs (inputs, targets), of one batch [(inputs, targets)]"),
        ([[1, FIRST]], None, "batches= yields a list: give pairs (inputs, targets), of one batch [(inputs, targets)]"),
        ([FIRST[:2]], None, "batches= yields a Tensor: give pairs (inputs, targets), of one batch [(inputs, targets)]"),
        ([], [1], "example= is a list: give a tensor, an image (1, C, H, W)"),
        ([], FIRST, "the network does not run on example= of shape (3, 1, 2, 2) and torch.float32: no such layer"),
        ([(FIRST, 1)], None, "the network does not run on images of batches= of shape (1, 1, 2, 2) and torch.float32: "
         "no such layer"),
        ([], FIRST[0], "the network does not run on example= of shape (1, 2, 2) and torch.float32: no such layer; "
         "an image has four dimensions, (1, C, H, W), as images[:1] and image[None] have"),
        ([], FIRST[0].double(), "the network does not run on example= of shape (1, 2, 2) and torch.float64: "
         "no such layer; its weights are torch.float32: give such images, or network.float()"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_told_with_what_to_give_instead(given, example, message):
    with pytest.raises(UserError) as raised:
        image_of(Refusing(), given, example)
    assert str(raised.value) == message
