"""What surgery says of layers, and what is made of channels, groups and blocks that go."""

import itertools

import pytest
import torch
from torch import nn

from secateur.channels.surgery import Held, Surgery, replay, take_out, zero_channels
from tests.secateur.channels.networks import Joined


def chain(*widths):
    """Linear layers of one number each, and activations between them."""
    layers = [nn.Linear(one, other) for one, other in itertools.pairwise(widths)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.ReLU())][:-1])


def test_what_is_known_of_a_network_without_more_is_which_layers_lose_nothing():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.single, self.last = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 2)
            self.aside, self.alone = nn.Linear(2, 4), nn.Linear(2, 1)

        def forward(self, images):
            return self.last(self.single(self.first(images)))

    surgery = Surgery(Unused(), torch.rand(1, 2), ignored=["first"])
    assert surgery.fixed == {
        "first": Held(3, 3, "--ignore_layers names them"),
        "aside": Held(4, 4, "the network does not use the layer in evaluation mode"),
    }
    assert list(surgery.groups) == ["single"]
    assert surgery.uses("first")[0].module == "first"
    assert surgery.uses("nowhere") == []
    assert str(Held(1, 4, "so")) == "1 of 4: so"


def test_channels_that_all_go_together_are_fixed():
    class Together(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, images):
            halves = self.first(images).chunk(2, 1)
            return self.last(torch.cat([halves[1], halves[0]], 1))

    surgery = Surgery(Together(), torch.rand(1, 1, 2, 2))
    assert surgery.fixed == {"first": Held(2, 2, "they can only go all together")}


def test_roots_that_are_known_are_not_tried_and_others_are_left_out():
    network = chain(2, 4, 5, 3)
    surgery = Surgery(network, torch.rand(1, 2), roots={"2"})
    assert list(surgery.groups) == ["2"]
    assert list(surgery.fixed) == ["0"]
    assert list(Surgery(network, torch.rand(1, 2), roots=[]).groups) == []


def test_removal_is_from_the_network_itself_or_from_a_copy():
    network, other = chain(2, 4, 3), chain(2, 4, 3)
    surgery = Surgery(network, torch.rand(1, 2))
    surgery.remove([("0", [3])], other)
    assert (network[0].out_features, other[0].out_features) == (4, 3)
    surgery.remove([("0", [0, 1])])
    assert (network[0].out_features, other[0].out_features) == (2, 3)


@torch.no_grad()
def test_channels_are_zero_in_layers_norms_readers_and_other_tensors():
    class Everything(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.bare = nn.Linear(2, 3), nn.Linear(2, 3, bias=False)
            self.norm, self.plain = nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False)
            self.scale, self.last = nn.Parameter(torch.full((1, 3), 4.0)), nn.Linear(3, 2)

        def forward(self, images):
            return self.last(self.plain(self.norm(self.one(images) + self.bare(images))) * self.scale)

    network = Everything()
    for parameter in network.parameters():
        parameter.fill_(4.0)
    surgery = Surgery(network, torch.rand(1, 2))
    (group,) = surgery.groups.values()
    zero_channels(network, group, torch.tensor([0, 2]))
    rows = [[0.0, 0.0], [4.0, 4.0], [0.0, 0.0]]
    assert (network.one.weight.tolist(), network.bare.weight.tolist()) == (rows, rows)
    alone = [0.0, 4.0, 0.0]
    assert [tensor.tolist() for tensor in (network.one.bias, network.norm.weight, network.norm.bias)] == [alone] * 3
    assert network.scale.tolist() == [alone]
    assert network.last.weight.tolist() == [alone, alone]
    assert network.last.bias.tolist() == [4.0, 4.0]


def test_a_depthwise_convolution_and_what_is_joined_are_zero_where_they_are_theirs():
    network = Joined()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(4.0)
    surgery = Surgery(network, torch.rand(1, 1, 1, 1))
    zero_channels(network, surgery.groups["depthwise"], torch.tensor([1, 2]))
    assert network.left.weight.flatten().tolist() == [4.0, 0.0]
    assert network.right.weight.flatten().tolist() == [0.0, 4.0]
    assert network.depthwise.weight.flatten().tolist() == [4.0, 0.0, 0.0, 4.0]
    assert network.classifier.weight.tolist() == [[4.0, 0.0, 0.0, 4.0]] * 2


def test_blocks_are_taken_out_wherever_they_are():
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    take_out(network, ["0.1", "1"])
    assert [type(module) for module in (network[0][0], network[0][1], network[1])] == [
        nn.Linear,
        nn.Identity,
        nn.Identity,
    ]
    with pytest.raises(AttributeError):
        take_out(network, ["0.2"])


def test_a_history_removes_channels_and_takes_out_blocks():
    network = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 3))
    replay(network, torch.rand(1, 2), [[("1", [])], [("0", [0, 3])]])
    assert [type(module) for module in network] == [nn.Linear, nn.Identity, nn.Linear]
    assert (network[0].out_features, network[2].in_features) == (2, 2)
    with pytest.raises(ValueError, match=r"^AttributeError: "):
        replay(network, torch.rand(1, 2), [[("nowhere", [])]])
    with pytest.raises(ValueError, match=r"^IndexError: channels 2 to 2 of 0, which has 2$"):
        replay(network, torch.rand(1, 2), [[("0", [2])]])
