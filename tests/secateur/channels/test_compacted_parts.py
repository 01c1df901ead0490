"""Compaction, part by part: what it looks at first, which groups it leaves alone, and what it leaves as it was."""

import copy

import pytest
import torch
from torch import nn

from secateur.channels.compaction import _has_zero_channel, _is_plain, compact, difference
from secateur.channels.groups import Group
from secateur.pruning.masks import Masks
from tests.secateur.channels.compacted import compacted, same


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ([[[1.0, 0.0], [0.0, 2.0]]], False),
        ([[[1.0, 2.0], [0.0, 0.0]]], True),  # an output without weights
        ([[[1.0, 0.0], [3.0, 0.0]]], True),  # an input that is not read
        ([[[0.0, 1.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]], False),
        ([[[0.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [1.0, 2.0]]], True),
        ([[[0.0, 0.0], [0.0, 0.0]]], True),
        ([], False),
    ],
)
def test_a_network_is_looked_at_if_an_output_has_no_weights_or_an_input_is_not_read(weights, found):
    network = nn.Sequential()
    for weight in weights:
        network.extend([nn.Linear(2, 2), nn.ReLU(), nn.Conv1d(2, 2, 2)])
        network[-3].weight.data = torch.tensor(weight)
        network[-1].weight.data[:, :, 0] = 0  # of a kernel one number is enough
    assert _has_zero_channel(network) is found


ONE, TWO = torch.tensor([[0], [1]]), torch.tensor([[0, 2], [1, 3]])


@pytest.mark.parametrize(
    ("root", "units", "averages", "plain"),
    [
        ("layer", ONE, 0, True),
        ("layer", TWO, 0, False),
        ("layer/1", ONE, 0, False),
        ("layer", ONE, 1, False),
        ("layer/0", TWO, 1, False),
    ],
)
def test_a_group_is_plain_where_each_channel_stands_for_itself(root, units, averages, plain):
    members = [(("norm", -1), torch.tensor([0, 1]), torch.tensor([0, 1]))] * averages
    assert _is_plain(Group(root, 4, units, averages=members)) is plain


def unread(network, numbers):
    """Let a network's last layer not read some of its inputs."""
    with torch.no_grad():
        network[-1].weight[:, numbers] = 0
    return network


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
    ],
    ids=["grouped convolution", "norm of two channels", "norm of all"],
)
def test_channels_stay_that_are_more_than_themselves(network):
    shape = (1, 2, 2) if isinstance(network[0], nn.Conv2d) else (2,)
    assert compacted(unread(network, [0, 2]), *shape) is None


def test_behind_a_depthwise_convolution_channels_go_with_it():
    network = unread(
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=4), nn.ReLU(), nn.Conv2d(4, 2, 1)), [0, 2]
    )
    result = compacted(network, 1, 2, 2)
    assert result.removals == [("1", [0, 2])]
    assert result.nodes == 4
    assert same(network, result.network, 1, 2, 2)


def collapsed():
    """Three layers, of which the second reads nothing of the first."""
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        network[2].weight[1:] = 0
        network[2].weight[:, 2] = 0
        network[4].weight[:, 0] = 0
        network[2].bias.copy_(torch.tensor([1.0, 2, -1]))
    return network


def test_without_masks_what_is_kept_for_the_sake_of_a_layer_is_not_read():
    network, example = collapsed(), torch.zeros(1, 2)
    state = copy.deepcopy(network.state_dict())
    result = compact(network, example, Masks(network))
    # Nobody reads the second layer's first neuron, and the others are constants, 2 and 0. Each layer keeps its first.
    assert result.removals == [("2", [1, 2]), ("0", [1, 2])]
    assert result.nodes == 4
    assert result.masks.kept == {}
    assert result.network[4].weight.tolist() == [[0], [0]]
    assert result.network[2].weight.tolist() == [[0]]
    assert result.network[0].weight.equal(state["0.weight"][:1])
    assert result.network[4].bias.tolist() == (state["4.bias"] + 2 * state["4.weight"][:, 1]).tolist()
    assert all(tensor.equal(state[name]) for name, tensor in network.state_dict().items())


def test_masks_that_were_given_stay_as_they_were():
    network, example = collapsed(), torch.zeros(1, 2)
    masks = Masks(network)
    masks.set({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in masks.weights.items() if name > "0"})
    result = compact(network, example, masks)
    assert all(mask.all() for mask in masks.kept.values())
    assert {name: mask.tolist() for name, mask in result.masks.kept.items()} == {
        "2": [[False]],
        "4": [[False], [False]],
    }
    masks = Masks(network, hold=False)
    assert compact(network, example, masks).masks.hold is False


class Meaning(nn.Module):
    """What it makes of one image is the mean over all, times a factor, and a number."""

    def __init__(self, factor, number):
        super().__init__()
        self.factor, self.number = nn.Parameter(torch.tensor(factor)), number

    def forward(self, images):
        assert not self.training
        return images.mean(0) * self.factor + self.number


def test_the_difference_is_that_on_four_normal_images_in_float64():
    first, second = Meaning(1.0, 0.0).train(), Meaning(3.0, 0.5)
    means = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double).mean(0)
    expected = float((2 * means + 0.5).abs().max() / means.abs().max())
    assert difference(first, second, torch.zeros(1, 3, 2)) == pytest.approx(expected, rel=1e-12)
    assert first.training


@pytest.mark.parametrize(("number", "expected"), [(0.0, 0.0), (3.0, 3e12), (-3.0, 3e12)])
def test_the_difference_from_nothing_is_finite(number, expected):
    assert difference(Meaning(0.0, 0.0), Meaning(0.0, number), torch.zeros(1, 2)) == pytest.approx(expected)
