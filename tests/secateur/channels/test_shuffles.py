"""ShuffleNetV2, whole: lists of numbers shuffle its channels, and lose what goes."""

import copy
import json

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.coupling import Coupling
from secateur.channels.shuffles import open_shuffles
from secateur.channels.surgery import Surgery, replay
from secateur.pruning.build import prepare_network
from secateur.pruning.plan import remember
from secateur.utils.torchvision_import import torchvision
from tests.secateur.channels.networks import scattered, some_of_each, zeroed

IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def shufflenet(seed=0):
    """Three stages, with halves of 6, 10 and 7 channels."""
    torch.manual_seed(seed)
    network = torchvision.models.shufflenetv2.ShuffleNetV2([2, 4, 2], [4, 12, 20, 14, 8], num_classes=3)
    return scattered(network).eval().double()


@torch.no_grad()
def test_an_open_network_computes_the_same_and_has_the_same_state():
    network = shufflenet()
    other = copy.deepcopy(network)
    (notice,) = open_shuffles(other)
    assert notice == "lists of numbers now shuffle the channels of stage2.0, stage2.1, stage3.0 and 5 more"
    assert open_shuffles(other) == []
    assert other(IMAGE).equal(network(IMAGE))
    assert other.state_dict().keys() == network.state_dict().keys()


@torch.no_grad()
def test_each_channel_of_shufflenet_can_go_alone():
    network = shufflenet()
    halves = {"stage3.0.branch1.2", "stage3.0.branch2.5", "stage3.1.branch2.5"}
    assert halves <= Surgery(network, IMAGE).fixed.keys()  # while shuffles are as they were
    open_shuffles(network)
    surgery = Surgery(network, IMAGE)
    assert surgery.fixed == {}
    assert {group.units.shape[1] for group in surgery.groups.values()} == {1}
    for fraction in (0.25, 0.5, 0.9):
        removals = some_of_each(surgery, fraction, torch.Generator().manual_seed(1))
        smaller, expected = copy.deepcopy(network), zeroed(network, surgery, removals)(IMAGE)
        surgery.remove(removals, smaller)
        found = smaller(IMAGE)
        assert expected.std() > 0
        assert float((found - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


def test_a_shufflenet_is_pruned_saved_and_loaded(tmp_path):
    network = shufflenet().float()
    result = secateur.prune(network, "L1Norm", sparsity=0.5, distribution="uniform", example=IMAGE.float())
    assert result.pruner.left_out == {}
    (notice,) = [notice for notice in result.steps[0].notices if "shuffle" in notice]
    assert notice.startswith("lists of numbers now shuffle")
    assert all(4 <= block.branch2[5].out_channels <= 6 for block in network.stage3)  # of 10, in groups of their own
    network.train()(torch.rand(4, 3, 32, 32)).sum().backward()
    network.eval()
    path = secateur.save(network, tmp_path / "small")
    assert json.loads(path.with_suffix(".json").read_text())["shuffles_open"] is True
    fresh = secateur.load(path, shufflenet(seed=1).float())
    assert fresh.eval()(IMAGE.float()).equal(network(IMAGE.float()))


def test_what_was_removed_where_shuffles_were_as_they_were_is_loaded_so(tmp_path):
    network, image = shufflenet().float(), IMAGE.float()
    surgery = Surgery(network, image)
    root, group = next(
        (root, group) for root, group in surgery.groups.items() if 1 < group.units.shape[1] < group.channels
    )
    removals = [(root, group.units[1].tolist()), ("stage3.1.branch2.0", [0, 3])]
    replay(network, image, [removals])
    remember(network, [removals], {}, image)
    assert prepare_network("L1Norm", network) == []
    path = secateur.save(network, tmp_path / "small")
    assert "shuffles_open" not in json.loads(path.with_suffix(".json").read_text())
    fresh = secateur.load(path, shufflenet(seed=1).float())
    assert type(fresh.stage3[1]) is torchvision.models.shufflenetv2.InvertedResidual
    assert fresh.eval()(image).equal(network(image))


class Picked(nn.Module):
    """Takes the hidden channels of one layer, or of two, by their numbers."""

    def __init__(self, numbers=(3, 1, 0, 2), persistent=False, twice=False):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 4) for _ in range(1 + twice))
        self.last = nn.Linear(len(numbers), 2)
        self.register_buffer("numbers", torch.tensor(numbers), persistent=persistent)

    def forward(self, images):
        return self.last(sum(layer(images).relu().index_select(1, self.numbers) for layer in self.layers))


def test_numbers_of_channels_are_others_once_channels_have_gone():
    network, inputs = Picked((3, 1, 0, 2, 1)), torch.rand(1, 3)
    smaller = copy.deepcopy(network)
    Coupling(network, inputs).cut(smaller, [("layers.0", [1])])
    assert smaller.numbers.tolist() == [2, 0, 1]
    assert smaller.last.weight.equal(network.last.weight[:, [0, 2, 3]])
    surgery = Surgery(network, inputs)
    assert surgery.groups["layers.0"].units.shape == (4, 1)
    assert surgery.fixed == {}


@pytest.mark.parametrize("kind", [{"persistent": True}, {"twice": True}], ids=str)
def test_numbers_that_a_state_brings_back_or_that_pick_of_two_are_left_alone(kind):
    fixed = Surgery(Picked(**kind), torch.rand(1, 3)).fixed
    assert str(fixed["layers.0"]) == "4 of 4: the network takes them by their number"


class Halved(nn.Module):
    """Its halves are read by two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.left, self.right = nn.Linear(3, 6), nn.Linear(2, 2), nn.Linear(4, 2)
        for name, numbers in (("few", [0, 1]), ("many", [2, 3, 4, 5])):
            self.register_buffer(name, torch.tensor(numbers), persistent=False)

    def forward(self, images):
        hidden = self.first(images)
        return self.left(hidden.index_select(1, self.few)) + self.right(hidden.index_select(1, self.many))


def test_a_layer_keeps_one_of_the_channels_that_it_reads():
    group = Surgery(Halved(), torch.rand(1, 3)).groups["first"]
    assert group.removable(range(6)) == [0, 2, 3, 4]


def test_lists_of_numbers_say_where_each_channel_comes_from():
    network = shufflenet()
    open_shuffles(network)
    plain, wider = network.stage2[1], network.stage2[0]
    assert plain.passed_on.tolist() == [0, 1, 2, 3, 4, 5]
    assert plain.worked_on.tolist() == [6, 7, 8, 9, 10, 11]
    assert plain.order.tolist() == wider.order.tolist() == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    assert not hasattr(wider, "passed_on")
    assert open_shuffles(nn.Linear(1, 1)) == []
