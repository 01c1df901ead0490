"""Modes of a network: float64."""

import copy

import pytest
import torch
from torch import nn

from secateur.channels.tracing import trace
from secateur.utils.modes import evaluation_mode, in_float64


class Counting(nn.Module):
    """Writes into parts of tensors of its own, one of them made on the way, and asks for its type."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(2, 4))
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, inputs):
        self.seen[0] = inputs.mean(0).to(self.scale.dtype)
        made = torch.zeros(4)
        made[1:].add_(self.seen[0, 1:] * self.scale[1:])
        return inputs.relu_() + made


class Recurrent(nn.Module):
    """Compares the types of inputs and weights by itself."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(4, 4)

    def forward(self, inputs):
        return self.cell(inputs)[0]


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.GELU(), nn.Linear(4, 2)
    )


@pytest.mark.parametrize(
    ("make", "copied"),
    [
        (convolutional, False),
        (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), False),
        (Recurrent, True),
    ],
)
def test_a_network_computes_in_float64_without_being_copied_where_it_can(make, copied):
    torch.manual_seed(0)
    network, images = make(), torch.rand(3, 4, dtype=torch.float64)
    before = copy.deepcopy(network.state_dict())
    called = []

    def compute(exact):
        called.append(exact)
        with evaluation_mode(exact):
            return exact(images)

    found = in_float64(compute, network)
    assert (called[-1] is not network) == copied
    double = copy.deepcopy(network).double().eval()
    assert torch.allclose(found, double(images), rtol=1e-13, atol=0)
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_what_a_network_writes_into_its_tensors_arrives():
    network, images = Counting(), torch.rand(3, 4, dtype=torch.float64) - 0.5
    expected = copy.deepcopy(network).double()(images.clone())
    found = in_float64(lambda exact: exact(images.clone()), network)
    assert torch.allclose(network.seen[0], images.mean(0).float())
    assert torch.allclose(found, expected, rtol=1e-6)


def test_following_channels_takes_as_much_memory_as_there_are_channels():
    found = trace(nn.Sequential(nn.Linear(30, 40), nn.Linear(40, 50)), torch.rand(1, 30))
    labels = [labels for _, axes in found._axes.values() for labels in axes if labels is not None]
    assert labels
    assert all(one.untyped_storage().nbytes() == one.numel() * one.element_size() for one in labels)
