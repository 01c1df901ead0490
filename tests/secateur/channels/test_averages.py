"""Norms over channels that are none of torch's: their law is that of the norm over what is left."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.surgery import Surgery
from tests.secateur.channels.networks import scattered, some_of_each, zeroed


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al., 2023, "ConvNeXt V2", section 3), channels last."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, features):
        lengths = features.norm(p=2, dim=(1, 2), keepdim=True)
        return features + self.gamma * (features * (lengths / (lengths.mean(-1, keepdim=True) + 1e-6))) + self.beta


class ByHand(nn.Module):
    """A LayerNorm over the channels (B, C, H, W), of means."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, features):
        centred = features - features.mean(dim=1, keepdim=True)
        return self.weight * centred / (centred.pow(2).mean(1, True) + 1e-6).sqrt()


class OfVariance(ByHand):
    """The same of torch's variance, which is that of a sample unless it is told otherwise."""

    def __init__(self, channels, correction):
        super().__init__(channels)
        self.correction = correction

    def forward(self, features):
        variance, mean = torch.var_mean(features, 1, correction=self.correction, keepdim=True)
        return self.weight * (features - mean) / (variance + 1e-6).sqrt()


class Length(nn.Module):
    """Channels divided by their length, which those that are zero do not change."""

    def forward(self, features):
        return features / (features.norm(dim=1, keepdim=True) + 1e-6)


class Spatial(nn.Module):
    """A map of the means over all channels multiplies them (Woo et al., 2018, "CBAM", section 3)."""

    def forward(self, features):
        return features * features.mean(1, keepdim=True).sigmoid()


class ChannelsLast(nn.Sequential):
    def forward(self, features):
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def around(*middle):
    return nn.Sequential(nn.Conv2d(3, 8, 1), *middle, nn.Conv2d(8, 4, 1))


NORMS = {
    "global response": lambda: ChannelsLast(nn.Linear(3, 8), nn.GELU(), ResponseNorm(8), nn.Linear(8, 4)),
    "RMSNorm": lambda: ChannelsLast(nn.Linear(3, 8), nn.Sigmoid(), nn.RMSNorm(8), nn.Linear(8, 4)),
    "by hand": lambda: around(nn.Sigmoid(), ByHand(8), nn.ReLU()),
    "of a variance": lambda: around(OfVariance(8, 0)),
    "length": lambda: around(Length()),
}


@torch.no_grad()
@pytest.mark.parametrize("name", NORMS)
def test_norms_are_taken_over_the_channels_that_are_left(name):
    torch.manual_seed(0)
    # As many pixels along one side as there are channels: which dimension is meant does not follow from sizes.
    network, image = scattered(NORMS[name]()).double(), torch.rand(2, 3, 5, 8, dtype=torch.double)
    surgery = Surgery(network, image[:1])
    assert surgery.fixed == {}
    (group,) = (group for group in surgery.groups.values() if group.channels == 8)
    assert bool(group.averages) == (name != "length")
    for fraction in (0.25, 0.5, 0.9):
        removals = some_of_each(surgery, fraction, torch.Generator().manual_seed(1))
        smaller, expected = copy.deepcopy(network), zeroed(network, surgery, removals)(image)
        surgery.remove(removals, smaller)
        assert expected.std() > 0
        assert float((smaller(image) - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


@torch.no_grad()
def test_a_response_norm_without_a_channel_is_worked_by_hand():
    norm = ResponseNorm(3)
    norm.gamma += 1
    features = torch.tensor([3.0, 1.0, 4.0]).view(1, 1, 1, 3)
    network = nn.Sequential(nn.Linear(1, 3), norm, nn.Linear(3, 1))
    surgery = Surgery(network, torch.rand(1, 1, 1, 1))
    zeros = zeroed(network, surgery, [("0", [2])])
    # Lengths 3 and 1, whose mean is 2: x (1 + 3 / 2) and x (1 + 1 / 2).
    torch.testing.assert_close(zeros[1](features).flatten()[:2], torch.tensor([7.5, 1.5]))
    surgery.remove([("0", [2])])
    torch.testing.assert_close(norm(features[..., :2]).flatten(), torch.tensor([7.5, 1.5]))
    assert network[1].gamma.shape == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("middle", "operation"), [(Spatial(), "mean"), (OfVariance(8, 1), "var_mean")], ids=["no norm", "sample's variance"]
)
def test_what_is_no_norm_or_needs_two_channels_holds_them(middle, operation):
    surgery = Surgery(around(middle), torch.rand(1, 3, 5, 8))
    assert str(surgery.fixed["0"]) == f"8 of 8: {operation} takes them together"


def test_half_of_a_convnext_v2_is_pruned():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
            self.mlp = ChannelsLast(nn.LayerNorm(4), nn.Linear(4, 16), nn.GELU(), ResponseNorm(16), nn.Linear(16, 4))

        def forward(self, features):
            return features + self.mlp(self.depthwise(features))

    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    surgery = Surgery(scattered(network), torch.rand(1, 3, 6, 6))
    assert surgery.fixed == {}
    hidden = [group for group in surgery.groups.values() if group.channels == 16]
    removals = [(group.root, list(range(8))) for group in hidden]
    assert surgery.breaches(removals) == {}
    surgery.remove(removals)
    assert [block.mlp[1].out_features for block in network[1:3]] == [8, 8]
    loss = functional.cross_entropy(network(torch.rand(2, 3, 6, 6)), torch.tensor([0, 1]))
    loss.backward()
    assert network[1].mlp[3].gamma.grad.shape == (1, 1, 1, 8)
