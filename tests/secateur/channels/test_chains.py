"""The ways from layers to those that read them: which are found, with which norms and numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.chains import _by_channel, find_chains, used_once
from secateur.channels.surgery import Surgery


def described(network, *shape):
    """By the layer: the norm with its numbers, the reader, and its columns, of each way."""
    chains = find_chains(Surgery(network, torch.rand(1, *shape)))
    assert all(chain.layer == root for root, found in chains.items() for chain in found)
    return {
        root: [
            (chain.norm and (chain.norm[0], chain.norm[1].tolist()), chain.reader, chain.columns.tolist())
            for chain in found
        ]
        for root, found in chains.items()
    }


def convolution(inputs=2, outputs=2, **options):
    return nn.Conv2d(inputs, outputs, 1, **options)


TWO = [[0], [1]]
#: What stands between a convolution "0" with two channels and the next: what is told of the way, if there is one.
BETWEEN = {
    "nothing": ([], None),
    "ReLU": ([nn.ReLU()], None),
    "leaky ReLU and pooling": ([nn.LeakyReLU(), nn.MaxPool2d(2)], None),
    "pooling of means": ([nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)], None),
    "norm": ([nn.BatchNorm2d(2)], ("1", [0, 1])),
    "norm and ReLU": ([nn.BatchNorm2d(2, affine=False), nn.ReLU()], ("1", [0, 1])),
    "pooling and norm": ([nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.ReLU()], ("2", [0, 1])),
}
NO_WAY = {
    "norm behind the ReLU": [nn.ReLU(), nn.BatchNorm2d(2)],
    "norm behind ReLU and pooling": [nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(2)],
    "two norms": [nn.BatchNorm2d(2), nn.BatchNorm2d(2)],
    "norm of each batch": [nn.BatchNorm2d(2, track_running_stats=False)],
    "norm of each image": [nn.InstanceNorm2d(2)],
    "sigmoid": [nn.Sigmoid()],
    "norm and sigmoid": [nn.BatchNorm2d(2), nn.Sigmoid()],
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_keeps_multiples_is_a_way(name):
    between, norm = BETWEEN[name]
    network = nn.Sequential(convolution(), *between, convolution(2, 3))
    assert described(network, 2, 4, 4) == {"0": [(norm, str(len(network) - 1), TWO)]}


@pytest.mark.parametrize("name", NO_WAY)
def test_what_does_not_keep_multiples_is_none(name):
    assert described(nn.Sequential(convolution(), *NO_WAY[name], convolution(2, 3)), 2, 4, 4) == {}


def test_pixels_that_are_flattened_are_several_columns_of_each_channel():
    network = nn.Sequential(
        convolution(), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2)
    )
    assert described(network, 2, 1, 3) == {
        "0": [(("1", [0, 1]), "4", [[0, 1, 2], [3, 4, 5]])],
        "4": [(None, "6", [[0], [1], [2]])],
    }
    # A norm with several numbers of each channel.
    assert described(nn.Sequential(convolution(), nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 3)), 2, 1, 3) == {}
    assert described(nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 3)), 2, 1, 1) == {
        "1": [(("2", [0, 1]), "3", TWO)]
    }


@pytest.mark.parametrize("groups", [1, 2])
def test_grouped_convolutions_have_no_ways_and_end_none(groups):
    network = nn.Sequential(convolution(2, 4), convolution(4, 4, groups=groups), convolution(4, 3))
    four = [[0], [1], [2], [3]]
    ways = {"0": [(None, "1", four)], "1": [(None, "2", four)]}
    assert described(network, 2, 4, 4) == (ways if groups == 1 else {})


class Forked(nn.Module):
    """Two layers read the first, one of them through a norm, and a third after something else."""

    def __init__(self, function, read_again=False):
        super().__init__()
        self.first, self.left, self.right, self.third = nn.Linear(3, 2), *(nn.Linear(2, 4) for _ in range(3))
        self.norm, self.last = nn.BatchNorm1d(2), nn.Linear(4, 2)
        self.function, self.read_again = function, read_again

    def forward(self, features):
        hidden = self.first(features)
        joined = self.left(hidden.relu()) + self.right(self.norm(hidden)) + self.third(self.function(hidden))
        return self.last(joined + self.left(hidden) if self.read_again else joined)


def test_each_way_is_told_with_its_own_norm_and_one_that_leads_elsewhere_spoils_all():
    ways = [(None, "left", TWO), (("norm", [0, 1]), "right", TWO), (None, "third", TWO)]
    assert described(Forked(functional.leaky_relu), 3) == {"first": ways}
    assert described(Forked(functional.tanh), 3) == {}
    assert described(Forked(functional.leaky_relu, read_again=True), 3) == {}


class Beside(nn.Module):
    """One layer reads the other in two ways."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, features):
        hidden = self.first(features)
        return self.last(torch.cat([hidden.relu(), hidden], 1))


def test_two_ways_to_one_layer_are_none():
    assert described(Beside(), 3) == {}


class Joining(nn.Module):
    """Its halves change places before they are read, and have a norm in common."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)
        self.norm, self.last = nn.BatchNorm2d(5), nn.Linear(10, 2)

    def forward(self, images):
        joined = self.norm(torch.cat([self.other(images), self.one(images)], 1)).relu()
        return self.last(joined.flatten(1))


def test_behind_a_concatenation_numbers_begin_behind_those_of_the_layers_before():
    assert described(Joining(), 1, 1, 2) == {
        "one": [(("norm", [3, 4]), "last", [[6, 7], [8, 9]])],
        "other": [(("norm", [0, 1, 2]), "last", [[0, 1], [2, 3], [4, 5]])],
    }


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.twice, self.tied, self.alike = (nn.Linear(2, 2) for _ in range(4))
        self.alone, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)
        self.alike.weight = self.tied.weight

    def forward(self, features):
        hidden = self.twice(self.twice(self.first(features).relu()).relu()).relu()
        return self.alone(self.tied(hidden).relu()) + self.alike(hidden)


def test_layers_that_run_once_with_a_weight_of_their_own_are_used_once():
    assert used_once(Reused(), torch.rand(1, 2)) == {"first", "alone"}
    assert described(Reused(), 2) == {}


def test_numbers_are_gathered_by_channel_in_ascending_order_where_each_has_as_many():
    own, ours = torch.tensor([5, 0, 3, 1, 4, 2]), torch.tensor([2, 1, 0, 2, 1, 0])
    assert _by_channel(own, ours, 3).tolist() == [[2, 3], [0, 4], [1, 5]]
    assert _by_channel(own[:3], ours[:3], 3).tolist() == [[3], [0], [5]]
    assert _by_channel(own[:5], ours[:5], 3) is None
    assert _by_channel(own, ours, 4) is None
    many = torch.arange(120)
    assert _by_channel(many.flip(0), many % 3, 3).tolist() == [list(range(first, 120, 3)) for first in (2, 1, 0)]
