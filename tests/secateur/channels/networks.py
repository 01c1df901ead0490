"""Networks that lose channels, and what they compute."""

import copy

import torch
from torch import nn
from torch.nn import functional

from secateur.channels.surgery import zero_channels


def scattered(network):
    """Give norms, and what starts at zero, numbers as after some training."""
    generator = torch.Generator().manual_seed(4)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and bool((tensor == tensor.flatten()[0]).all()):
            low = -0.5 if name.endswith(("bias", "running_mean")) else 0.5
            tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    return network


def zeroed(network, surgery, removals):
    """Return a copy of the network in which the channels are zero, and still there."""
    network = copy.deepcopy(network)
    for root, channels in removals:
        zero_channels(network, surgery.groups[root], torch.tensor(channels))
    return network


def some_of_each(surgery, fraction, generator):
    """Return removals of this fraction of each group, at random."""
    removals = []
    for root, group in surgery.groups.items():
        order = torch.randperm(len(group.units), generator=generator).tolist()
        if units := group.removable(order)[: round(fraction * len(order))]:
            removals.append((root, sorted(group.units[units].flatten().tolist())))
    return removals


@torch.no_grad()
def outputs(network, image, seed=1):
    inputs = torch.rand((2, *image.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return network.eval()(inputs)


def assert_close(found, expected, relative=1e-5):
    assert expected.isfinite().all()
    assert expected.std() > 0
    assert float((found - expected).abs().max()) <= relative * float(expected.abs().max())


class Wired(nn.Module):
    """A residual addition, a concatenation, a depthwise, a grouped and a transposed convolution, and a flattening."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Conv2d(2, 6, 1)
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.up = nn.ConvTranspose2d(10, 8, 2, stride=2)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.classifier = nn.Linear(8 * 4 * 4, 3)

    def forward(self, images):
        first = self.norm(self.first(images)).relu()
        joined = torch.cat([first + self.second(first), self.side(images)], 1).relu()
        features = self.grouped(self.up(self.depthwise(joined)).relu()).relu()
        return self.classifier(functional.max_pool2d(features, 2).flatten(1))


def wired():
    torch.manual_seed(0)
    return scattered(Wired()), torch.zeros(1, 2, 4, 4)


class Joined(nn.Module):
    """A depthwise convolution behind the concatenation of two layers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        self.depthwise, self.classifier = nn.Conv2d(4, 4, 1, groups=4), nn.Linear(4, 2)

    def forward(self, images):
        joined = torch.cat([self.left(images), self.right(images)], 1).relu()
        return self.classifier(self.depthwise(joined).flatten(1))
