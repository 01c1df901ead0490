"""What is coupled is told exactly, what cannot be cut is refused, and all that counts channels follows a cut."""

import pytest
import torch
from torch import nn

from secateur.channels.coupling import Coupling, _count, _renumber
from tests.secateur.channels.networks import wired


def entries(members):
    return [(name, own.tolist(), root.tolist()) for name, own, root in members]


class Everything(nn.Module):
    """A layer of one channel, a depthwise one of two, a norm, a scale, and statistics over channels."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 1, bias=False)
        self.depthwise, self.norm = nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.BatchNorm2d(2)
        self.scale = nn.Parameter(torch.rand(1, 2, 1, 1))
        self.wide, self.layer_norm, self.last = nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2)
        self.group_norm, self.unused = nn.GroupNorm(2, 2), nn.Linear(2, 2)

    def forward(self, images):
        maps = self.norm(self.depthwise(self.two(self.one(images)).relu()))
        return self.last(self.layer_norm(self.wide((self.group_norm(maps) * self.scale).mean((2, 3)))))


def test_a_group_has_all_that_makes_norms_reads_and_scales_its_channels_and_nothing_else():
    coupling = Coupling(Everything(), torch.rand(1, 3, 4, 4))
    groups = {group.root: group for group in coupling.groups()}
    assert groups.keys() == {"one", "depthwise", "wide"}
    one, depthwise, wide = groups["one"], groups["depthwise"], groups["wide"]
    both, three = [0, 1], [0, 1, 2]
    assert (entries(one.outputs), entries(one.inputs)) == ([("one", [0], [0])], [("two", [0], [0])])
    assert one.norms == one.others == one.averages == []
    assert sorted(entries(depthwise.outputs)) == [("depthwise", both, both), ("two", both, both)]
    assert sorted(entries(depthwise.norms)) == [("group_norm", both, both), ("norm", both, both)]
    assert entries(depthwise.inputs) == [("wide", both, both)]
    assert entries(depthwise.others) == [(("scale", 1), both, both)]
    assert depthwise.averages == []
    assert (entries(wide.inputs), wide.norms) == ([("last", three, three)], [])
    assert entries(wide.averages) == [(("layer_norm", -1), three, three)]
    assert sorted(entries(wide.others)) == [
        (("layer_norm.bias", 0), three, three),
        (("layer_norm.weight", 0), three, three),
    ]


def test_why_channels_stay_is_told_of_each():
    network = nn.Sequential(*(layer for width in (2, 3, 4, 5) for layer in (nn.Linear(width, width + 1), nn.ReLU())))
    weight = network[4].weight.detach()
    del network[4].weight
    network[4].register_buffer("weight", weight)
    coupling = Coupling(network, torch.rand(1, 2), ignored=["2", "nowhere"])
    assert [group.root for group in coupling.groups()] == ["0"]
    assert coupling.reasons("4") == ["its weight is computed from other tensors, as by a parametrization"] * 5
    assert coupling.reasons("6") == ["they are the network's outputs"] * 6
    assert coupling.reasons("2") == ["--ignore_layers names them"] * 4
    assert coupling.reasons("0") == coupling.reasons("nowhere") == []


def test_the_only_layer_keeps_its_first_output_too():
    coupling = Coupling(nn.Sequential(nn.Linear(2, 3)), torch.rand(1, 2))
    assert coupling.groups() == []
    assert coupling.reasons("0") == ["they are the network's outputs"] * 3


def test_layers_that_are_known_are_the_roots_where_they_can_be():
    network = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 3, 1))
    coupling = Coupling(network, torch.rand(1, 2, 4, 4))
    assert [group.root for group in coupling.groups()] == ["1"]
    assert [group.root for group in coupling.groups(["0", "2"])] == ["0"]


def layers():
    """Three layers, of which the first has as many outputs as inputs."""
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([("nowhere", [1, 2])], "channels 1 to 2 of nowhere, which there is not"),
        ([("2", [])], "channels 0 to 0 of 2, which has 4"),
        ([("2", [3, 4, 1])], "channels 1 to 4 of 2, which has 4"),
        ([("2", [-1])], "channels -1 to -1 of 2, which has 4"),
        ([("2", [2, 2])], "channels 2 to 2 of 2, which has 4"),
        ([("0", [0]), ("4", [1])], "channels of 4 stay: they are the network's outputs"),
        ([("0", [0, 1, 2])], "the last channels of 0.weight would go"),
        ([("2", [3, 1]), ("2", [0, 2])], "the last channels of 2.weight would go"),
    ],
)
def test_what_cannot_be_cut_is_told_and_nothing_is_changed(cuts, message):
    network = layers()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(IndexError) as caught:
        Coupling(network, torch.rand(1, 3)).cut(network, cuts)
    assert str(caught.value) == message
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


def test_the_places_of_what_is_left_are_told_in_short_numbers_or_not_at_all():
    network = layers()
    network.register_parameter("empty", nn.Parameter(torch.empty(0, 3)))
    network.append(nn.Linear(2, 2))
    network[2].weight.grad = torch.ones(4, 3)
    network[5].weight.grad = torch.ones(2, 2)
    coupling = Coupling(network, torch.rand(1, 3))
    kept = coupling.cut(network, [("2", [0, 3])])
    assert {name: places.tolist() for name, places in kept.items()} == {
        "2.weight": [[3, 4, 5], [6, 7, 8]],
        "2.bias": [1, 2],
        "4.weight": [[1, 2], [5, 6]],
    }
    assert {places.dtype for places in kept.values()} == {torch.int32}
    assert dict(kept.scales) == {}
    assert all(parameter.grad is None for parameter in network.parameters())
    network = nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 2))
    kept = Coupling(network, torch.rand(1, 20)).cut(network, [("0", [1])], indices=False)
    assert {name: (places.numel(), places.dtype) for name, places in kept.items()} == dict.fromkeys(
        ("0.weight", "0.bias", "1.weight"), (0, torch.int32)
    )
    assert network[0].weight.shape == (9, 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_have_the_new_shapes_where_the_graph_of_a_step_is_alive(dtype):
    network, inputs = layers().to(dtype), torch.rand(5, 3, dtype=dtype)
    coupling = Coupling(network, inputs[:1])
    loss = network(inputs).sum()
    loss.backward()
    coupling.cut(network, [("0", [1]), ("2", [0, 3])])
    network(inputs).sum().backward()
    assert [tuple(parameter.grad.shape) for parameter in network.parameters()] == [
        (2, 3), (2,), (2, 2), (2,), (2, 2), (2,)
    ]  # fmt: skip
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    assert loss.grad_fn is not None


def test_every_module_counts_what_it_has_left():
    network, image = wired()
    kept = Coupling(network, image).cut(network, [("depthwise", [1, 5, 9]), ("up", [0, 4]), ("grouped", [1, 5])])
    sizes = {
        name: (module.in_channels, module.out_channels, module.groups)
        for name, module in network.named_modules()
        if hasattr(module, "in_channels")
    }
    assert sizes == {
        "first": (2, 3, 1),
        "second": (3, 3, 1),
        "side": (2, 4, 1),
        "depthwise": (7, 7, 7),
        "up": (7, 6, 1),
        "grouped": (6, 6, 2),
    }
    assert (network.norm.num_features, network.classifier.in_features, network.classifier.out_features) == (3, 96, 3)
    assert kept["norm.running_var"].tolist() == [0, 2, 3]
    assert "norm.num_batches_tracked" not in kept


def with_weight(module, *shape):
    module.weight.data = torch.zeros(shape)
    return module


CONVOLUTION, TRANSPOSED = ("in_channels", "out_channels", "groups"), nn.ConvTranspose2d


@pytest.mark.parametrize(
    ("module", "inputs", "expected"),
    [
        (with_weight(nn.Linear(5, 4), 2, 3), 3, {"in_features": 3, "out_features": 2}),
        (with_weight(nn.Linear(5, 4), 2, 3), None, {"in_features": 3, "out_features": 2}),
        (with_weight(nn.Conv2d(6, 8, 1), 5, 4, 1, 1), 4, dict(zip(CONVOLUTION, (4, 5, 1), strict=True))),
        (with_weight(nn.Conv2d(6, 8, 1, groups=2), 4, 2, 1, 1), 4, dict(zip(CONVOLUTION, (4, 4, 2), strict=True))),
        (with_weight(nn.Conv2d(6, 12, 1, groups=6), 10, 1, 1, 1), 5, dict(zip(CONVOLUTION, (5, 10, 5), strict=True))),
        (with_weight(nn.Conv2d(6, 8, 1, groups=2), 4, 3, 1, 1), None, dict(zip(CONVOLUTION, (6, 4, 2), strict=True))),
        (with_weight(TRANSPOSED(6, 8, 2), 5, 7, 2, 2), 5, dict(zip(CONVOLUTION, (5, 7, 1), strict=True))),
        (with_weight(TRANSPOSED(6, 8, 2, groups=2), 4, 3, 2, 2), 4, dict(zip(CONVOLUTION, (4, 6, 2), strict=True))),
        (with_weight(TRANSPOSED(6, 12, 2, groups=6), 5, 2, 2, 2), 5, dict(zip(CONVOLUTION, (5, 10, 5), strict=True))),
        (with_weight(TRANSPOSED(6, 8, 2), 6, 7, 2, 2), None, dict(zip(CONVOLUTION, (6, 7, 1), strict=True))),
        (nn.LayerNorm(6), 4, {"normalized_shape": (4,)}),
        (nn.RMSNorm(6), 4, {"normalized_shape": (4,)}),
        (nn.LayerNorm(6), None, {"normalized_shape": (6,)}),
        (nn.LayerNorm((5, 6)), 4, {"normalized_shape": (5, 6)}),
        (nn.GroupNorm(6, 6), 4, {"num_groups": 4, "num_channels": 4}),
        (nn.GroupNorm(2, 6), 4, {"num_groups": 2, "num_channels": 4}),
        (nn.GroupNorm(6, 6), None, {"num_groups": 6, "num_channels": 6}),
        (nn.BatchNorm2d(6), 4, {"num_features": 4}),
        (nn.BatchNorm2d(6), None, {"num_features": 6}),
    ],
)  # fmt: skip
def test_a_module_says_what_its_tensors_and_what_it_reads_say(module, inputs, expected):
    _count(module, inputs)
    assert {name: getattr(module, name) for name in expected} == expected


def test_numbers_of_channels_that_have_gone_are_left_out():
    numbers = torch.tensor([4, 0, 2, 4, 1, 3])
    _renumber(numbers, torch.tensor([0, 3, 4]), 5)
    assert numbers.tolist() == [2, 0, 2, 1]
