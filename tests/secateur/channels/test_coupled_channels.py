"""Which channels go together, which must stay, and that everything that belongs to a tensor follows it."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.coupling import Coupling
from secateur.channels.moving import _divide
from secateur.channels.surgery import Surgery, replay
from secateur.pruning.masks import Masks
from secateur.utils.errors import UserError
from tests.secateur.channels.networks import assert_close, outputs, wired, zeroed


def members(group):
    """The layers of a group, with their outputs and the root's channels of them."""
    return {name: (own.tolist(), root.tolist()) for name, own, root in group.outputs}


def test_coupled_layers_are_one_group_with_numbers_that_correspond():
    network, image = wired()
    surgery = Surgery(network, image)
    assert surgery.fixed == {}
    assert surgery.groups.keys() == {"depthwise", "up", "grouped"}
    # the depthwise convolution reads the concatenation: four channels of the addition, then six of the side
    joined = surgery.groups["depthwise"]
    four, six, ten = list(range(4)), list(range(6)), list(range(10))
    assert members(joined) == {
        "depthwise": (ten, ten),
        "side": (six, [4, 5, 6, 7, 8, 9]),
        "first": (four, four),
        "second": (four, four),
    }
    assert [name for name, _, _ in joined.norms] == ["norm"]
    # one of first, second and depthwise; one of side and depthwise
    assert joined.nodes.tolist() == [3] * 4 + [2] * 6
    # of the grouped convolution, and of what it reads, one channel of each half goes with its counterpart
    for root in ("grouped", "up"):
        assert surgery.groups[root].units.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
        assert surgery.groups[root].nodes.tolist() == [2, 2, 2, 2]


def test_the_last_channel_of_each_coupled_layer_is_not_removable():
    network, image = wired()
    surgery = Surgery(network, image)
    assert surgery.groups["depthwise"].removable([9, 3, 2, 1, 0, 8, 7, 6, 5, 4]) == [9, 3, 2, 1, 8, 7, 6, 5]
    assert surgery.groups["grouped"].removable([2, 0, 3, 1]) == [2, 0, 3]


def test_removal_keeps_the_numbers_at_the_places_that_it_names():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    first, second = network[0].weight.data.clone(), network[2].weight.data.clone()
    network[0].weight.grad = torch.ones(3, 2)
    changed = Surgery(network, torch.zeros(1, 2)).remove([("0", [1])])
    assert changed.keys() == {"0.weight", "0.bias", "2.weight"}
    assert changed["0.weight"].tolist() == [[0, 1], [4, 5]]
    assert changed["0.bias"].tolist() == [0, 2]
    assert changed["2.weight"].tolist() == [[0, 2], [3, 5]]
    assert network[0].weight.equal(first[[0, 2]])
    assert network[2].weight.equal(second[:, [0, 2]])
    assert network[0].weight.grad is None  # of a shape that is no more
    assert (network[0].out_features, network[2].in_features) == (2, 2)


def test_masks_and_buffers_follow():
    network, image = wired()
    masks = Masks(network)
    generator = torch.Generator().manual_seed(0)
    masks.set({name: torch.rand(weight.shape, generator=generator) < 0.5 for name, weight in masks.weights.items()})
    mean, kept = network.norm.running_mean.clone(), masks.kept["second"].clone()
    surgery = Surgery(network, image)
    masks.keep_indices(surgery.remove([("depthwise", [2])]))
    assert network.norm.running_mean.equal(mean[[0, 1, 3]])
    assert masks.kept["second"].equal(kept[[0, 1, 3]][:, [0, 1, 3]])
    for name, weight in masks.weights.items():
        assert weight.shape == masks.kept[name].shape
        assert not weight[~masks.kept[name]].any()


def remove_all(network, image):
    """Remove all but the last channels of every layer, and check that it is what zeroing them is."""
    surgery = Surgery(network, image)
    removals = [(root, group.units[group.removable(range(len(group.units)))]) for root, group in surgery.groups.items()]
    removals = [(root, channels.flatten().tolist()) for root, channels in removals if len(channels)]
    expected = zeroed(network, surgery, removals)
    surgery.remove(removals)
    assert_close(outputs(network, image), outputs(expected, image))
    return [root for root, _ in removals]


def test_all_but_the_last_channels_of_every_layer_can_go():
    network, image = wired()
    assert set(remove_all(network, image)) == {"depthwise", "up", "grouped"}
    assert [network.first.out_channels, network.side.out_channels, network.depthwise.groups] == [1, 1, 2]
    assert [network.up.out_channels, network.grouped.out_channels, network.grouped.groups] == [2, 2, 2]
    # with one channel in each group the grouped convolution has become a depthwise one, which can lose one more
    assert remove_all(network, image) == ["grouped"]
    assert [network.up.out_channels, network.grouped.out_channels, network.grouped.groups] == [1, 1, 1]
    assert remove_all(network, image) == []


class ByNumber(nn.Module):
    """Picks channels by their number, which tracing does not see."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = self.second(self.first(inputs).relu()[:, [3, 2, 1, 0]]).relu()
        return self.third(hidden)


def test_channels_that_only_seem_to_be_removable_stay():
    surgery = Surgery(ByNumber(), torch.zeros(1, 4))
    assert list(surgery.groups) == ["second"]
    assert {name: str(held) for name, held in surgery.fixed.items()} == {
        "first": "4 of 4: the network takes them by their number"
    }


def test_a_scale_of_zero_hides_no_mistake():
    network = ByNumber()
    nn.init.zeros_(network.third.weight)  # as the heads of some networks start: all outputs are equal
    assert list(Surgery(network, torch.zeros(1, 4)).groups) == ["second"]


def test_tracing_leaves_the_network_and_the_random_numbers_alone():
    network, image = wired()
    network.train()
    state, random = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    Surgery(network, image)
    assert all(tensor.equal(state[name]) for name, tensor in network.state_dict().items())
    assert torch.get_rng_state().equal(random)
    assert all(module.training for module in network.modules())


def test_a_norm_over_some_of_the_channels_holds_them():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1), nn.GroupNorm(1, 4), nn.Conv2d(4, 2, 1)
    )
    surgery = Surgery(network, torch.rand(1, 3, 2, 2))
    assert list(surgery.groups) == ["2"]
    assert {name: str(held) for name, held in surgery.fixed.items()} == {
        "0": "4 of 4: a GroupNorm takes its statistics over several of them"
    }


def test_a_network_that_cannot_be_run_is_told_in_one_line():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 2))
    with pytest.raises(UserError, match="from a network that does not run") as error:
        Surgery(network, torch.zeros(1, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "removal",
    [
        ("nowhere", [0]),
        ("first", [4]),
        ("first", [-1]),
        ("first", [1, 1]),
        ("up", list(range(8))),
        ("norm", [0]),
        ("", [0]),
    ],
)
def test_removals_that_do_not_fit_are_refused(removal):
    network, image = wired()
    with pytest.raises(ValueError, match="Error"):
        replay(network, image, [[removal]])


def test_parts_beside_the_whole_are_coupled_and_held_all_the_same():
    labels, found = torch.arange(4), []
    own = SimpleNamespace(
        couple=lambda first, second, why: found.append((first.tolist(), second.tolist())),
        hold=lambda held, why: found.append(held.tolist()),
    )
    _divide(SimpleNamespace(labels=own), "chunk", labels, [labels, torch.arange(5), labels.flip(0), labels[2:]])
    assert found == [([0, 1], [2, 3])]
    _divide(SimpleNamespace(labels=own), "chunk", labels, [labels, labels[:3]])
    assert found[1:] == [[0, 1, 2, 3]]


def test_what_is_coupled_in_a_network_of_hundreds_of_layers_can_be_copied():
    network = nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(250)))
    coupling = Coupling(network, torch.rand(1, 2, 2, 2))
    assert copy.deepcopy(coupling).uses["3"] == coupling.uses["3"]


class WithOwnNorm(nn.Module):
    """A network that normalises a weight itself, along one dimension or the other."""

    def __init__(self, dim):
        super().__init__()
        self.dim, self.first, self.last = dim, nn.Linear(3, 4), nn.Linear(6, 2)
        self.directions, self.lengths = nn.Parameter(torch.rand(6, 4)), nn.Parameter(torch.rand(((6, 1), (1, 4))[dim]))

    def forward(self, features):
        weight = torch._weight_norm(self.directions, self.lengths, self.dim)
        return self.last(functional.linear(self.first(features).relu(), weight))


@pytest.mark.parametrize("dim", [0, 1])
def test_what_a_computed_weight_reads_is_held(dim):
    surgery = Surgery(WithOwnNorm(dim), torch.zeros(1, 3))
    assert {name: str(held) for name, held in surgery.fixed.items()} == {
        "first": "4 of 4: they meet the image, or constants, channel by channel"
    }
