"""The law on constructions that networks of others are made of: without channels as with them at zero."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.surgery import Surgery
from secateur.models.blocks.cifar_residual import CifarResNet
from tests.secateur.channels.networks import scattered, some_of_each, zeroed


class Ghost(nn.Module):
    """Half of the maps are made of the other half, beside which they stand (Han et al., 2020, "GhostNet")."""

    def __init__(self, inputs, outputs):
        super().__init__()
        half = -(-outputs // 2)
        self.outputs = outputs
        self.primary = nn.Sequential(nn.Conv2d(inputs, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.cheap = nn.Sequential(
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True)
        )

    def forward(self, images):
        primary = self.primary(images)
        return torch.cat([primary, self.cheap(primary)], 1)[:, : self.outputs, :, :]


class Gate(nn.Module):
    """Channels are scaled by numbers that are made of their means (Hu et al., 2018)."""

    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, features):
        scale = self.expand(functional.relu(self.reduce(features.mean((2, 3), keepdim=True))))
        return features * functional.hardsigmoid(scale)


class GhostBlock(nn.Module):
    """Two ghost modules, a depthwise convolution over what the first joins, a gate, and a shortcut."""

    def __init__(self, inputs, middle, outputs):
        super().__init__()
        self.ghost1 = Ghost(inputs, middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, padding=1, groups=middle, bias=False)
        self.norm = nn.BatchNorm2d(middle)
        self.gate = Gate(middle)
        self.ghost2 = Ghost(middle, outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, images):
        features = self.gate(self.norm(self.depthwise(self.ghost1(images))))
        return self.ghost2(features) + self.shortcut(images)


def shuffled(features):
    """The channels of two groups in turn, as torchvision's ShuffleNetV2 has it."""
    count, channels, height, width = features.size()
    return (
        features.view(count, 2, channels // 2, height, width)
        .transpose(1, 2)
        .contiguous()
        .view(count, -1, height, width)
    )


class Shuffle(nn.Module):
    """Half of the channels are worked on, the other half stands beside, and they are shuffled (Ma et al., 2018)."""

    def __init__(self, channels, by_view):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )
        self.shuffle = shuffled if by_view else nn.ChannelShuffle(2)

    def forward(self, features):
        one, other = features.chunk(2, dim=1)
        return self.shuffle(torch.cat([one, self.branch(other)], 1))


class JoinedAndDivided(nn.Module):
    """Two layers stand side by side, pass a norm together, and are halved again."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 1)
        self.norm = nn.BatchNorm2d(12)
        self.left, self.right = nn.Conv2d(6, 5, 1), nn.Conv2d(6, 5, 1)

    def forward(self, features):
        one, other = self.norm(torch.cat([self.one(features), self.other(features)], 1)).relu().chunk(2, 1)
        return self.left(one) * self.right(other)


class Tied(nn.Module):
    """One weight in two layers, each with a bias of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, features):
        inputs = self.last(features.mean((2, 3)))
        return self.second(self.first(inputs).relu()).relu()[:, :, None, None]


class Scaled(nn.Module):
    """A scale and a shift of each channel that are no norm's, as ConvNeXt's and NFNet's."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.shift = nn.Parameter(torch.randn(1, 8, 1, 1))

    def forward(self, features):
        features = self.first(features)
        return features + self.scale * self.second(features).relu() + self.shift


class Padded(nn.Module):
    """A shortcut with channels of zeros in front and behind, as of ResNets for CIFAR-10."""

    def __init__(self):
        super().__init__()
        self.before, self.block = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, features):
        features = self.before(features).relu()
        return self.block(features) + functional.pad(features, (0, 0, 0, 0, 2, 2))


class Gated(nn.Module):
    """One half of the channels is a gate for the other."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(4, 12, 1)

    def forward(self, features):
        return functional.glu(self.wide(features), 1)


def frozen(module):
    return module.requires_grad_(False)


#: What stands between a stem of four channels and the last layers; of the layers in it those that stay, with how many.
MIDDLES = {
    "ghost modules": (lambda: nn.Sequential(GhostBlock(4, 12, 8), GhostBlock(8, 12, 8)), 8, {}),
    "ghost modules that leave one out": (
        lambda: Ghost(4, 7), 7, {"stem.0": 0, "middle.primary.0": 4, "middle.cheap.0": 4}
    ),
    "shuffled by view": (lambda: nn.Sequential(nn.Conv2d(4, 16, 1), Shuffle(16, True), Shuffle(16, True)), 16, {}),
    "ChannelShuffle": (lambda: nn.Sequential(nn.Conv2d(4, 16, 1), Shuffle(16, False)), 16, {}),
    "joined and divided": (JoinedAndDivided, 5, {}),
    "tied": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), Tied()), 8, {}),
    "scale and shift": (Scaled, 8, {}),
    "padded shortcut": (Padded, 8, {"middle.block": 4}),
    "gate": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), Gate(8)), 8, {}),
    "gated linear unit": (Gated, 6, {}),
    "sigmoid": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.Sigmoid()), 8, {}),
    "InstanceNorm": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.InstanceNorm2d(8, affine=True), nn.ReLU()), 8, {}),
    "InstanceNorm of running statistics": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.InstanceNorm2d(8, track_running_stats=True)), 8, {}
    ),
    "plain InstanceNorm": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.InstanceNorm2d(8), nn.ReLU()), 8, {}),
    "plain BatchNorm": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8, affine=False), nn.ReLU()), 8, {}),
    "GroupNorm of one channel each": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.GroupNorm(8, 8)), 8, {}),
    "GroupNorm": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.GroupNorm(2, 8)), 8, {"middle.0": 8}),
    "PReLU": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.PReLU(8)), 8, {}),
    "frozen layers": (lambda: frozen(nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))), 8, {}),
    "several outputs of each channel": (lambda: nn.Conv2d(4, 8, 3, groups=4), 8, {}),
    "grouped and transposed": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.ConvTranspose2d(8, 12, 2, groups=2), nn.ReLU()), 12, {}
    ),
}  # fmt: skip


class Whole(nn.Module):
    def __init__(self, middle, channels):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.middle = middle
        self.last = nn.Sequential(nn.Conv2d(channels, 6, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))

    def forward(self, images):
        return self.last(self.middle(self.stem(images)))


def whole(name):
    make, channels, stays = MIDDLES[name]
    torch.manual_seed(0)
    network, image = Whole(make(), channels), torch.rand(1, 3, 6, 6, dtype=torch.double)
    network(image.float())
    return scattered(network).double(), image, stays


def apart(network, other, image):
    images = torch.rand((3, *image.shape[1:]), generator=torch.Generator().manual_seed(2), dtype=torch.double)
    with torch.no_grad():
        expected = other.eval()(images)
        assert expected.std() > 0
        return float((network.eval()(images) - expected).abs().max() / expected.abs().max())


def nodes_of(surgery):
    return sum(int(group.nodes.sum()) for group in surgery.groups.values())


@pytest.mark.parametrize("name", MIDDLES)
def test_channels_go_wherever_they_can_and_nothing_else_changes(name):
    network, image, stays = whole(name)
    surgery = Surgery(network, image)
    assert {layer: held.outputs for layer, held in surgery.fixed.items()} == {k: v for k, v in stays.items() if v}
    for fraction in (0.25, 0.5, 0.9):
        generator = torch.Generator().manual_seed(1)
        removals = some_of_each(surgery, fraction, generator)
        assert removals
        smaller, zeros = copy.deepcopy(network), zeroed(network, surgery, removals)
        layers = {name for group in surgery.groups.values() for name, _, _ in group.outputs}
        Surgery(smaller, image, layers).remove(removals)
        assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in network.parameters())
        assert apart(smaller, zeros, image) < 1e-6
        # What is left is a network like any other: it trains, and what it has lost is counted.
        smaller.train()(torch.rand(4, 3, 6, 6, dtype=torch.double)).sum().backward()
        again = Surgery(smaller, image, layers)
        gone = {
            root: torch.isin(surgery.groups[root].units[:, 0], torch.tensor(channels)) for root, channels in removals
        }
        lost = sum(int(surgery.groups[root].nodes[units].sum()) for root, units in gone.items())
        if fraction < 0.9:  # of two halves with one place each nothing can go, and nothing need be counted
            assert nodes_of(again) == nodes_of(surgery) - lost


class Residual(CifarResNet):
    """The smallest of ResNets for CIFAR-10, whose shortcuts are padded with channels of zeros."""

    blocks = 1


def test_channels_of_padded_shortcuts_go_with_the_zeros():
    torch.manual_seed(0)
    network, image = scattered(Residual((3, 8, 8), 5)).double(), torch.rand(1, 3, 8, 8, dtype=torch.double)
    surgery = Surgery(network, image)
    assert surgery.fixed == {}
    # one channel that begins in each stage
    removals = [("stages.2.conv2", [0, 20, 40])]
    zeros = zeroed(network, surgery, removals)
    changed = surgery.remove(removals)
    convolutions = [network.stem[0], *(network.stages[stage].conv2 for stage in range(3))]
    assert [layer.out_channels for layer in convolutions] == [15, 15, 30, 61]
    assert [network.stages[stage].shortcut.zeros.shape[1] for stage in (1, 2)] == [15, 31]
    assert changed.keys() <= network.state_dict().keys()
    assert apart(network, zeros, image) < 1e-6
