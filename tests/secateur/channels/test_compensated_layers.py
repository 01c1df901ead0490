"""Which layers each method makes up for removed channels in, and the notices word for word."""

import copy
import itertools

import pytest
import torch
from torch import nn

from secateur.channels.compensation import lost_inputs
from secateur.channels.surgery import Surgery
from secateur.pruning.masks import Masks
from tests.compensated import outputs, pruned
from tests.secateur.channels.networks import wired

FITTED = "it fits Linear layers and 2-d convolutions without groups and masks, that are used once"
MERGED = "their channels are coupled, or pass through more than one batch norm, ReLU, pooling and flattening"


def test_which_inputs_are_lost_is_said_of_each_layer():
    network, image = wired()
    removals = [("depthwise", [1, 6, 9]), ("grouped", [2, 6])]
    lost = lost_inputs(Surgery(network, image), removals)
    assert {name: inputs.nonzero().flatten().tolist() for name, inputs in lost.items()} == {
        "second": [1],
        "up": [1, 6, 9],
        "classifier": [*range(32, 48), *range(96, 112)],
    }
    assert {name: (len(inputs), inputs.dtype) for name, inputs in lost.items()} == {
        "second": (4, torch.bool),
        "up": (10, torch.bool),
        "classifier": (128, torch.bool),
    }


def partly_masked(network, names, fraction=0.5):
    masks = Masks(network)
    generator = torch.Generator().manual_seed(0)
    masks.set({name: torch.rand(masks.weights[name].shape, generator=generator) < fraction for name in names})
    return masks


def perceptron(*widths):
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize(
    ("layers", "named"), [(3, "2, 4"), (5, "2, 4, 6, 8"), (6, "2, 4, 6, 8 and 1 more"), (8, "2, 4, 6, 8 and 3 more")]
)
def test_four_layers_that_are_not_fitted_are_named(layers, named):
    network = perceptron(*[4] * (layers + 1))
    names = [str(2 * number) for number in range(layers)]
    masks = partly_masked(network, names)
    removals = [(name, [1]) for name in names[:-1]]
    assert pruned(network, torch.zeros(1, 4), removals, "least_squares", [torch.randn(9, 4)], masks) == [
        f"--compensate least_squares does not apply to {named}: {FITTED}"
    ]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, images):
        return self.last(self.again(self.again(self.first(images).relu()).relu()).relu())


KINDS = {
    "linear": (lambda: perceptron(4, 4, 2), (4,), []),
    "2-d": (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), (2, 3, 3), []),
    "1-d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Conv1d(4, 2, 1)), (2, 3), ["2"]),
    "transposed": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.ConvTranspose2d(4, 2, 1)), (2, 3, 3), ["2"]
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2)), (2, 3, 3), ["2"]
    ),
    "twice": (Twice, (4,), ["again"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_only_linear_layers_and_plain_convolutions_that_run_once_are_fitted(kind):
    make, shape, left = KINDS[kind]
    network = make()
    surgery = Surgery(network, torch.zeros(1, *shape))
    (group,) = surgery.groups.values()
    expected = [f"--compensate least_squares does not apply to {', '.join(left)}: {FITTED}"] if left else []
    removals = [(group.root, group.units[1].tolist())]
    before, plain = copy.deepcopy(network), copy.deepcopy(network)
    images = torch.randn(9, *shape)
    assert pruned(network, torch.zeros(1, *shape), removals, "least_squares", [images[:4], images[4:]]) == expected
    assert pruned(plain, torch.zeros(1, *shape), removals, "none", [images]) == []
    wanted = outputs(before, images)
    errors = [float((outputs(each, images) - wanted).square().mean()) for each in (network, plain)]
    assert errors[0] < errors[1] or left == ["2"]
    assert errors[0] == errors[1] or left != ["2"]


def test_a_mask_of_ones_is_none():
    network = perceptron(4, 4, 2)
    masks = partly_masked(network, ["0", "2"], fraction=2)
    assert pruned(network, torch.zeros(1, 4), [("0", [1])], "least_squares", [torch.randn(9, 4)], masks) == []


def test_layers_are_fitted_to_what_others_give_that_have_lost_inputs_and_are_not():
    torch.manual_seed(1)
    network = perceptron(8, 8, 4, 3)
    masks = partly_masked(network, ["2"], 0.8)
    images = torch.randn(500, 8)
    expected = outputs(network, images)
    removals = [("0", [0, 1, 2, 3]), ("2", [1])]
    (notice,) = pruned(network, torch.zeros(1, 8), removals, "least_squares", [images], masks)
    assert notice == f"--compensate least_squares does not apply to 2: {FITTED}"
    hidden = torch.cat([outputs(network[:4], images), torch.ones(500, 1)], 1).double()
    least = float((hidden @ torch.linalg.pinv(hidden) @ expected.double() - expected).norm())
    assert float((outputs(network, images) - expected).norm()) == pytest.approx(least, rel=1e-3)


class Coupled(nn.Module):
    """A sum, whose channels cannot be merged, and two layers behind it, whose channels can."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.third = (nn.Linear(3, 3) for _ in range(3))
        self.fourth, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, images):
        hidden = (self.one(images) + self.other(images)).relu()
        return self.last(self.fourth(self.third(hidden).relu()).relu())


def alike(layer):
    """Let its channel 1 be 2 times its channel 0, and 2 be the opposite of it."""
    with torch.no_grad():
        for channel, factor in ((1, 2), (2, -1)):
            layer.weight[channel], layer.bias[channel] = factor * layer.weight[0], factor * layer.bias[0]


NONE_ALIKE = "--compensate merge finds no filters alike: --merge_threshold is above all their cosines"
OTHERS = f"--compensate merge does not apply to other: {MERGED}"


@pytest.mark.parametrize(
    ("removals", "alikes", "notices"),
    [
        ([("other", [1])], [], [OTHERS]),
        ([("third", [1])], [], [NONE_ALIKE]),
        ([("third", [1])], ["third"], []),
        ([("third", [1]), ("fourth", [1])], ["third"], []),
        ([("third", [1]), ("fourth", [1])], ["fourth"], []),
        ([("other", [1]), ("third", [1])], [], [NONE_ALIKE, OTHERS]),
        ([("other", [1]), ("fourth", [1])], ["fourth"], [OTHERS]),
        ([], [], []),
    ],
)
def test_what_merging_did_not_do_is_told_word_for_word(removals, alikes, notices):
    network = Coupled()
    for name in alikes:
        alike(network.get_submodule(name))
    before = copy.deepcopy(network)
    assert pruned(network, torch.zeros(1, 3), removals, "merge", merge_threshold=0.9999) == notices
    for name, reader in (("third", "fourth"), ("fourth", "last")):
        if name in alikes and name in dict(removals):  # what channel 1 did is done by channel 0
            expected = before.get_submodule(reader).weight.detach().clone()
            expected[:, 0] += 2 * expected[:, 1]
            rows = [0, 2] if reader in dict(removals) else [0, 1, 2][: len(expected)]
            torch.testing.assert_close(network.get_submodule(reader).weight.detach(), expected[rows][:, [0, 2]])


@pytest.mark.parametrize("method", ["none", "merge", "least_squares"])
def test_nothing_is_said_of_rewinding_where_nothing_was_made_up_for(method):
    removals = [("0", [1])] if method == "none" else []
    network = perceptron(4, 4, 2)
    weight = network[2].weight.detach().clone()
    assert pruned(network, torch.zeros(1, 4), removals, method, [torch.randn(9, 4)], rewinds=True) == []
    assert network[2].weight.equal(weight[:, [0, 2, 3]] if removals else weight)
