"""Networks of every kind compute the same when they are compacted."""

import importlib
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.channels.compaction import compact, difference
from secateur.channels.surgery import replay
from secateur.pruning.masks import Masks
from tests.secateur.channels.compacted import compacted, same


def pruned(name, density, *shape, **options):
    """A network of the laboratory with random masks, each tenth output without weights, and norms that fit them."""
    network = getattr(importlib.import_module(f"secateur.models.{name}"), name)(shape, 10, **options)
    masks = Masks(network)
    kept = {}
    for layer, weight in masks.weights.items():
        rows = (torch.rand(len(weight)) < 0.9).view(-1, *[1] * (weight.dim() - 1))
        # Each other row keeps one weight at least, else nothing gets through at 99 %.
        one = torch.zeros_like(weight, dtype=torch.bool).flatten(1)
        one.scatter_(1, torch.randint(one.shape[1], (len(weight), 1)), True)
        kept[layer] = ((torch.rand_like(weight) < density) | one.view_as(weight)) & rows
        weight.data /= kept[layer].float().mean().sqrt()  # as large as the sums of all weights were
    masks.set(kept)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
            module.momentum = 1
    with torch.no_grad():
        network.train()(torch.randn(16, *shape))
    return network.eval(), masks


@pytest.mark.parametrize(
    ("name", "density", "shape", "options"),
    [
        ("LeNet300", 0.02, (1, 8, 8), {}),
        ("LeNet5", 0.02, (1, 28, 28), {}),
        ("VGG11", 0.02, (3, 32, 32), {}),
        ("ResNet20", 0.05, (3, 16, 16), {"shortcut": "project"}),
        ("ResNet20", 0.05, (3, 16, 16), {"shortcut": "pad"}),
        ("ResNet18", 0.01, (1, 8, 8), {}),
        ("ResNet18", 0.01, (3, 32, 32), {}),
        ("MobileNetV2", 0.02, (3, 32, 32), {}),
        ("SqueezeNet_bypass", 0.02, (3, 32, 32), {}),
        pytest.param("DenseNet121", 0.02, (1, 8, 8), {}, marks=pytest.mark.slow),
        pytest.param("ViT_tiny", 0.02, (3, 32, 32), {}, marks=pytest.mark.slow),
    ],
)
def test_networks_compute_the_same_with_fewer_channels(name, density, shape, options):
    network, masks = pruned(name, density, *shape, **options)
    example = torch.zeros(1, *shape)
    result = compact(network, example, masks)
    assert result.nodes > 0
    assert same(network, result.network, *shape)
    assert difference(network, result.network, example) <= 1e-5
    for layer, mask in result.masks.kept.items():
        assert torch.equal(result.masks.weights[layer] != 0, mask)
    assert compact(result.network, example, result.masks) is None
    fresh = getattr(importlib.import_module(f"secateur.models.{name}"), name)(shape, 10, **options)
    replay(fresh, example, [result.removals])
    fresh.load_state_dict(result.network.state_dict())


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=3, max_size=6),
    density=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid]),
    norms=st.booleans(),
)
def test_any_perceptron_computes_the_same(widths, density, seed, activation, norms):
    torch.manual_seed(seed)
    layers = []
    for before, after in itertools.pairwise(widths):
        layers.append(nn.Linear(before, after, bias=not norms))
        if norms:
            layers.append(nn.BatchNorm1d(after))
            nn.init.normal_(layers[-1].running_mean)
        layers.append(activation())
    network = nn.Sequential(*layers, nn.Linear(widths[-1], 2)).eval()
    for weight in Masks(network).weights.values():
        weight.data *= torch.rand_like(weight) < density
    result = compacted(network, widths[0])
    if result is not None:
        assert difference(network, result.network, torch.zeros(1, widths[0])) <= 1e-6
        assert result.nodes == sum(len(channels) for _, channels in result.removals) > 0
        assert compact(result.network, torch.zeros(1, widths[0]), result.masks) is None


@pytest.mark.parametrize(("weight", "other", "expected"), [(-2.0, -2.5, 0.25), (2.0, 2.5, 0.25), (-2.0, -2.0, 0)])
def test_the_difference_is_relative_to_the_largest_output_whatever_its_sign(weight, other, expected):
    first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(first.weight, weight)
    nn.init.constant_(second.weight, other)
    assert difference(first, second, torch.zeros(1, 1)) == pytest.approx(expected)
