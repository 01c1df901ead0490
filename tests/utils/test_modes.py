"""A network is lent in another mode, and comes back as it was."""

import contextlib

import pytest
import torch
from torch import nn

from secateur.utils.modes import batch_statistics, evaluation_mode, frozen, trainable


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
