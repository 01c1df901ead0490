"""Which modules are blocks that can go, by how much they change what they read, and what is kept of their removal."""

import copy

import pytest
import torch
from torch import nn

import secateur
from secateur.pruning.plan import record_of, remember


class Adding(nn.Module):
    """Adds what it reads, times a factor, to it; it takes more than it uses."""

    def __init__(self, factor=0.5):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.data = factor * torch.eye(2)

    def forward(self, features, _other=None):
        return features + self.layer(features)


class Calling(nn.Module):
    """A layer, and what is made of it and of what is read."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer or nn.Linear(2, 2)

    def forward(self, features):
        return self.function(self.layer, features)


class Leaf(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, features):
        return features + self.scale * features


class Many(nn.Module):
    """Modules that are used in many ways, of which only the first and the last are those of blocks."""

    def __init__(self):
        super().__init__()
        self.block, self.twice, self.unused, self.pair, self.named = (Adding() for _ in range(5))
        self.several = Calling(lambda layer, features: (features + layer(features),))
        self.listed = Calling(lambda layer, features: features[0] + layer(features[0]))
        self.wider, self.narrower = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(3, 2))
        self.leaf, self.idle = Leaf(), nn.Sequential(nn.ReLU())
        self.outer = nn.Sequential(Adding(1.0))

    def forward(self, features):
        features = self.block(features)
        features = self.pair(self.twice(self.twice(features)), features)
        (features,) = self.several(self.named(features, _other=None))
        features = self.narrower(self.wider(self.listed([features])))
        return self.outer(self.idle(self.leaf(features).abs()))


def test_blocks_have_layers_in_them_and_one_input_and_output_and_run_once():
    network = Many().train()
    changes = secateur.residual_blocks(network, torch.tensor([[3.0, 4]]))
    assert changes == pytest.approx({"block": 0.5, "outer": 1.0, "outer.0": 1.0})
    assert list(changes) == ["block", "outer", "outer.0"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert network.training
    assert secateur.residual_blocks(nn.Sequential(Adding(), Adding(2.0)), torch.ones(1, 2)) == {"0": 0.5, "1": 2.0}


def test_what_is_changed_in_place_afterwards_counts_as_it_was():
    images = torch.tensor([[-3.0, 4]])
    first = Calling(lambda layer, features: layer(features.relu_()))
    network = nn.Sequential(nn.Sequential(first), Adding(-2.0), nn.ReLU(inplace=True))
    with torch.no_grad():
        first.layer.weight.copy_(torch.eye(2))
        first.layer.bias.copy_(torch.tensor([5.0, 1]))
    assert secateur.residual_blocks(network, images) == {"1": 2.0}  # (5, 5) less twice that, before the ReLU
    assert images.tolist() == [[-3, 4]]


@pytest.mark.parametrize(
    ("bias", "change"), [([0.0, 0.0], 0.0), ([3.0, 4.0], 5e12)], ids=["nothing", "something of nothing"]
)
def test_where_nothing_is_read_the_change_is_finite(bias, change):
    block = Calling(lambda layer, features: features + layer(features))
    block.layer.bias.data = torch.tensor(bias)
    found = secateur.residual_blocks(nn.Sequential(block, nn.Linear(2, 2)), torch.zeros(1, 2))
    assert found == pytest.approx({"0": change})


@pytest.mark.parametrize(
    ("offset", "hands_on"), [(0.0, True), (2e-6, True), (-3e-6, True), (8e-6, False), (-8e-6, False)]
)
def test_a_block_hands_on_what_it_reads_up_to_a_millionth_of_the_largest(offset, hands_on):
    shift = torch.tensor([0.0, offset, 0], dtype=torch.double)
    block = Calling(lambda layer, features: features + shift + layer(features), nn.Linear(3, 3))
    network = nn.Sequential(block, nn.Linear(3, 2)).double()
    images = torch.tensor([[-5.0, 1, 0.5]], dtype=torch.double)
    before = copy.deepcopy(network.state_dict())
    assert list(secateur.residual_blocks(network, images)) == ["0"] * hands_on
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


class Sine(nn.Module):
    def forward(self, features):
        return (4096 * features).sin()


def test_rounding_in_a_block_is_no_reason_to_refuse_it():
    block = Calling(lambda layer, features: features * 1.1 / 1.1 + layer(features), nn.Linear(16, 16))
    network, images = nn.Sequential(block, Sine(), nn.Linear(16, 3)), torch.rand(1, 16)
    state = torch.get_rng_state()
    secateur.remove_blocks(network, "0", images)
    assert [type(module) for module in network] == [nn.Identity, Sine, nn.Linear]
    assert torch.get_rng_state().equal(state)


class Shared(nn.Module):
    """Its last layer has the weight of its block."""

    def __init__(self):
        super().__init__()
        self.block, self.last = Adding(), nn.Linear(2, 2)
        self.block.layer.weight.data = torch.tensor([[-1.0, 1], [0, 0]])
        self.last.weight = self.block.layer.weight
        self.last.bias.data = torch.tensor([1.0, -2])

    def forward(self, features):
        return self.last(self.block(features))


def test_a_block_whose_weights_are_used_elsewhere_is_refused_and_nothing_is_changed():
    network = Shared()
    before = copy.deepcopy(network.state_dict())
    # Outputs are (1, -2) with the weight at zero. Without the block the first is off by what the weight makes of two
    # random images, relative to 2.
    images = torch.rand((2, 2), generator=torch.Generator().manual_seed(0))
    off = float((images[:, 1] - images[:, 0]).abs().max()) / 2
    with pytest.raises(ValueError, match="without block the outputs are") as caught:
        secateur.remove_blocks(network, ["block"], torch.rand(1, 2))
    assert str(caught.value) == (
        f"without block the outputs are {off:.1e} off what they are with their weights at zero"
    )
    assert isinstance(network.block, Adding)
    assert network.last.weight is network.block.layer.weight
    assert network.state_dict().keys() == before.keys()
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
    assert record_of(network) is None


def chain(*factors):
    return nn.Sequential(*map(Adding, factors), nn.Linear(2, 2))


def test_a_removal_is_remembered_and_follows_what_was_removed_before():
    network, images = chain(1.0, 2.0, 3.0), torch.rand(1, 2)
    secateur.remove_blocks(network, ("0", "2"), images)
    record = record_of(network)
    assert (record.removed, record.masked, record.input_shape) == ([[("0", []), ("2", [])]], [], (2,))
    network = chain(*[1.0] * 11)
    remember(network, [[("11", [1])]], ["0.layer", "1.layer", "10.layer", "11"], images)
    secateur.remove_blocks(network, ["1", "3"], images)
    record = record_of(network)
    assert record.removed == [[("11", [1])], [("1", []), ("3", [])]]
    assert record.masked == ["0.layer", "10.layer", "11"]
    assert record.input_shape == (2,)


def test_a_block_that_changes_in_place_what_it_reads_is_seen_to_change_it():
    def add_in_place(layer, features):
        features += layer(features)
        return features

    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = 0.5 * torch.eye(2)
    network = nn.Sequential(Calling(add_in_place, layer), nn.Linear(2, 2))
    assert secateur.residual_blocks(network, torch.ones(3, 2)) == {"0": pytest.approx(0.5)}
