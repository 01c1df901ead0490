"""Compaction: what goes and what must stay, in small cases that are worked by hand."""

import pytest
import torch
from torch import nn

from tests.secateur.channels.compacted import compacted, same
from tests.secateur.channels.networks import Joined


def mlp(first, first_bias, second, second_bias):
    network = nn.Sequential(nn.Linear(2, len(first)), nn.ReLU(), nn.Linear(len(first), len(second)))
    network[0].weight.data, network[0].bias.data = torch.tensor(first), torch.tensor(first_bias)
    network[2].weight.data, network[2].bias.data = torch.tensor(second), torch.tensor(second_bias)
    return network


def convolutions(padding, padding_mode="zeros", bias=0.7, image_bias=True):
    """Two convolutions; the first channel of the one has no weights, and is `bias` after the ReLU."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 2, 3, padding=padding, padding_mode=padding_mode, bias=image_bias),
        nn.Flatten(),
        nn.Linear(2 * (2 + 2 * padding) ** 2, 2),
    )
    network[0].weight.data[0] = 0
    network[0].bias.data[0] = bias
    return network


def test_the_constant_of_a_dead_neuron_goes_to_the_next_bias():
    network = mlp([[0.0, 0.0], [1.0, 2.0]], [0.7, 0.1], [[3.0, 4.0], [-5.0, 6.0]], [0.5, 0.25])
    result = compacted(network, 2)
    assert result.removals == [("0", [0])]
    assert result.nodes == 1
    assert result.network[0].weight.tolist() == [[1.0, 2.0]]
    assert result.network[2].weight.tolist() == [[4.0], [6.0]]
    # 0.5 + 3 * 0.7 and 0.25 - 5 * 0.7
    assert result.network[2].bias.tolist() == pytest.approx([2.6, -3.25])
    assert network[2].bias.tolist() == [0.5, 0.25]


def test_a_dead_neuron_below_zero_adds_nothing_after_relu():
    result = compacted(mlp([[0.0, 0.0], [1.0, 2.0]], [-0.7, 0.1], [[3.0, 4.0]], [0.5]), 2)
    assert result.network[2].bias.tolist() == [0.5]


def test_a_neuron_that_nobody_reads_goes():
    result = compacted(mlp([[1.0, 3.0], [1.0, 2.0]], [0.7, 0.1], [[0.0, 4.0]], [0.5]), 2)
    assert result.removals == [("0", [0])]
    assert result.network[2].bias.tolist() == [0.5]


def test_a_network_that_needs_every_channel_is_left_alone():
    assert compacted(mlp([[1.0, 0.0], [0.0, 2.0]], [0.7, 0.1], [[1.0, 4.0]], [0.5]), 2) is None


def chain(*weights):
    layers = []
    for weight in weights:
        weight = torch.tensor(weight)
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data = weight
        nn.init.constant_(layer.bias, 0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_death_spreads_forwards_along_a_chain():
    # The first neuron is 0.5; the second layer's first neuron reads it alone: 0.5 * 2 + 0.5 = 1.5.
    network = chain([[0.0], [1.0]], [[2.0, 0.0], [0.0, 1.0]], [[3.0, 1.0]])
    result = compacted(network, 1)
    assert sorted(result.removals) == [("0", [0]), ("2", [0])]
    assert result.network[4].bias.item() == 0.5 + 3 * 1.5


def test_death_spreads_backwards_along_a_chain():
    # The second layer's first neuron is not read, and the first layer's first neuron is read by that alone.
    network = chain([[1.0], [1.0]], [[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0]])
    result = compacted(network, 1)
    assert sorted(result.removals) == [("0", [0]), ("2", [0])]
    assert same(network, result.network, 1)


def test_a_layer_that_has_collapsed_keeps_one_neuron_that_nobody_reads():
    network = chain([[1.0], [2.0], [3.0]], [[0.0, 0.0, 0.0]] * 2, [[3.0, 1.0]])
    result = compacted(network, 1)
    assert result.network[0].weight.item() == 1  # the first
    assert [tuple(layer.weight.shape) for layer in result.network[::2]] == [(1, 1), (1, 1), (1, 1)]
    assert result.network(torch.randn(5, 1)).flatten().tolist() == [2.5] * 5  # 0.5 * (3 + 1) + 0.5
    assert result.network[4].weight.item() == 0
    assert not result.masks.kept["4"].any()


def test_of_layers_that_are_joined_too_each_keeps_a_channel_that_nobody_reads():
    network = Joined()
    with torch.no_grad():
        network.classifier.weight[:, :2] = 0  # the channels of the left one
    result = compacted(network, 1, 1, 1)
    smaller = result.network
    assert [smaller.left.out_channels, smaller.right.out_channels, smaller.depthwise.out_channels] == [1, 2, 3]
    assert same(network, smaller, 1, 1, 1)


def test_masks_follow_and_zeros_stay_zero():
    network = mlp([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], [0.7, 0.1, 0.1], [[3.0, 0.0, 4.0], [1.0, 1.0, 0.0]], [0.5, 0.0])
    result = compacted(network, 2)
    assert result.masks.kept["0"].tolist() == [[True, False], [False, True]]
    assert result.masks.kept["2"].tolist() == [[False, True], [True, False]]
    with torch.no_grad():
        result.network[2].weight += 1
    result.masks.apply_to_weights()
    assert result.network[2].weight.tolist() == [[0.0, 5.0], [2.0, 0.0]]


def test_a_constant_that_a_convolution_reads_across_a_border_of_zeros_stays():
    assert compacted(convolutions(padding=1), 1, 4, 4) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": 0},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "replicate"},
        {"padding": 1, "bias": -0.7},
    ],
)
def test_a_constant_that_counts_the_same_everywhere_goes(arguments):
    network = convolutions(**arguments)
    result = compacted(network, 1, 4, 4)
    assert result.removals == [("0", [0])]
    assert same(network, result.network, 1, 4, 4)


def test_a_constant_that_neither_bias_nor_norm_can_take_up_stays():
    assert compacted(convolutions(padding=0, image_bias=False), 1, 4, 4) is None


class Norms(nn.Module):
    """A dead channel, constant through its norm, read by a convolution without bias whose norm may have a rival."""

    def __init__(self, rival):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)
        self.second, self.follower = nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3)
        self.last = nn.Linear(3, 2)
        self.rival = rival
        for norm in (self.norm, self.follower):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        # (0 - 0.4) / sqrt(3.99999 + 1e-5) * 2 + 1 = 0.6
        self.first.weight.data[0] = 0
        self.norm.running_mean[0], self.norm.running_var[0] = 0.4, 4 - 1e-5
        self.norm.weight.data[0], self.norm.bias.data[0] = 2, 1

    def forward(self, images):
        hidden = self.second(torch.relu(self.norm(self.first(images))))
        normed = self.follower(hidden)
        return self.last((normed + hidden if self.rival else normed).mean((2, 3)))


def test_the_norm_behind_a_layer_without_bias_takes_the_constant_from_its_mean():
    network = Norms(rival=False)
    mean = network.follower.running_mean - 0.6 * network.second.weight[:, 0].sum((1, 2))
    result = compacted(network, 1, 5, 5)
    assert result.removals == [("first", [0])]
    assert result.network.follower.running_mean.tolist() == pytest.approx(mean.tolist(), abs=1e-6)
    assert same(network, result.network, 1, 5, 5)


def test_a_norm_that_is_not_alone_in_reading_a_layer_does_not():
    assert compacted(Norms(rival=True), 1, 5, 5) is None


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.branch, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, images):
        hidden = torch.relu(self.stem(images))
        return self.last(hidden + self.branch(hidden))


def test_channels_that_are_added_go_if_they_are_dead_in_all_that_add_them():
    network = Residual()
    with torch.no_grad():
        network.stem.weight[:2] = 0
        network.branch.weight[1:3] = 0  # channel 1 is dead in both, 0 and 2 in one
    result = compacted(network, 3)
    assert result.removals[0][1] == [1]
    assert result.nodes == 2
    assert same(network, result.network, 3)


def test_a_loop_of_channels_that_only_read_each_other_goes():
    network = Residual()
    with torch.no_grad():
        network.last.weight[:, 1] = 0
        network.branch.weight[[0, 2, 3], 1] = 0  # channel 1 is read by itself alone
    assert compacted(network, 3).removals[0][1] == [1]


class Comparing(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, images):
        hidden = self.first(images)
        return self.last(torch.where(hidden > 0, hidden, torch.zeros_like(hidden)))


def test_behind_an_activation_written_as_a_comparison_nothing_is_taken_for_constant():
    network = Comparing()
    nn.init.zeros_(network.first.weight[0].data)
    assert compacted(network, 2) is None
    nn.init.zeros_(network.last.weight[:, 1].data)
    result = compacted(network, 2)
    assert result.removals == [("first", [1])]
    assert same(network, result.network, 2)


def test_a_constant_that_a_layer_reads_in_one_of_two_uses_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, images):
            return self.last(self.again(torch.relu(self.again(torch.relu(self.first(images))))))

    network = Twice()
    nn.init.zeros_(network.first.weight[0].data)
    assert compacted(network, 3) is None
