"""A network is lent in another mode, and comes back as it was."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from secateur.channels.tracing import trace
from secateur.utils.modes import batch_statistics, evaluation_mode, frozen, in_float64, trainable


@pytest.fixture
def network():
    """A linear layer, a norm in evaluation mode, one without running statistics, and dropout."""
    parts = nn.Sequential(
        nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False), nn.Dropout()
    )
    parts[1].eval()
    return parts


def modes(network):
    return [(part.training, getattr(part, "track_running_stats", None)) for part in network.modules()]


@pytest.mark.parametrize("mode", [evaluation_mode, batch_statistics])
def test_the_mode_of_each_part_comes_back_after_an_error_too(network, mode):
    before = modes(network)
    with contextlib.suppress(KeyError), mode(network):
        assert not network[0].training
        assert not network[3].training
        raise KeyError
    assert modes(network) == before


def test_norms_take_the_statistics_of_the_batch_and_keep_none(network):
    inputs = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    with batch_statistics(network):
        outputs = network[1](inputs)
    assert outputs.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert outputs[1].tolist() == pytest.approx([1, 1], abs=1e-4)
    assert network[1].running_mean.tolist() == [0, 0]
    assert int(network[1].num_batches_tracked) == 0


def test_frozen_parameters_are_trainable_for_a_while_and_others_frozen(network):
    network[0].weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in network.parameters()]
    with contextlib.suppress(KeyError), trainable(network.parameters()):
        assert all(parameter.requires_grad for parameter in network.parameters())
        raise KeyError
    assert [parameter.requires_grad for parameter in network.parameters()] == before
    with contextlib.suppress(KeyError), frozen(network):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        raise KeyError
    assert [parameter.requires_grad for parameter in network.parameters()] == before


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
