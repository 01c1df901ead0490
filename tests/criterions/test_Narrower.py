"""Narrower networks: which channels go, what the weights become, and how near they come to a number of parameters."""

import itertools

import pytest
import torch
from torch import nn

from secateur.models.LeNet300 import LeNet300
from secateur.models.ResNet20 import ResNet20
from secateur.pruning.pruner import Pruner


def narrowed(network, image, **options):
    Pruner(network, "Narrower", example=torch.zeros(1, *image), at_once=True, **options)
    return network


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_first_channels_stay_and_weights_grow_by_what_they_have_lost_in_inputs():
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    before = [layer.weight.detach().clone() for layer in network[::2]]
    first, second, last = narrowed(network, (2,), sparsity=0.5)[::2]
    assert torch.equal(first.weight, before[0][:4])  # whose inputs are the image's
    assert torch.allclose(second.weight, before[1][:3, :4] * 2**0.5)  # 8 inputs by now are 4
    assert torch.allclose(last.weight, before[2][:, :3] * 2**0.5)  # 6 are 3


def test_layers_keep_the_same_fraction_but_for_a_channel():
    for sparsity in (0.1, 0.37, 0.8, 0.95):
        network = nn.Sequential(*(nn.Linear(*sizes) for sizes in itertools.pairwise((3, 20, 10, 5, 2))))
        layers = zip(narrowed(network, (3,), sparsity=sparsity), (20, 10, 5), strict=False)
        assert all(abs(len(layer.weight) / size - (1 - sparsity)) <= 1 / size for layer, size in layers)


@pytest.mark.parametrize(
    ("build", "image", "fraction", "within"),
    [
        (LeNet300, (1, 28, 28), 0.1, 0.02),
        (LeNet300, (1, 28, 28), 0.02, 785 / 5332),  # 6 of the 300 are left: a seventh would be 785 more
        (ResNet20, (3, 32, 32), 0.02, 0.1),
    ],
)
def test_it_has_as_many_parameters_as_asked_or_a_little_fewer(build, image, fraction, within):
    network = build(image, 10)
    asked = round(fraction * parameters(network))
    narrowed(network, image, target=[f"params={asked}"])
    assert (1 - within) * asked <= parameters(network) <= asked
    assert network(torch.zeros(2, *image)).shape == (2, 10)
