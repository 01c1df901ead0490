"""Layers whose weights have their channels last in memory are executed like others."""

import copy

import torch
from torch import nn

import secateur


def test_weights_with_channels_last_get_the_dense_gradients():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2))
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.mul_(torch.rand_like(layer.weight) < 0.2)
    network = network.to(memory_format=torch.channels_last)
    dense, images = copy.deepcopy(network), torch.randn(19, 3, 7, 7).to(memory_format=torch.channels_last)
    fast = secateur.accelerate(network.train(), images, execution="sparse", training=True)
    for called in (dense, fast):
        called(images).square().mean().backward()
    assert any(choice.layers for choice in fast.choices.values())
    for layer, other in ((network[0], dense[0]), (network[2], dense[2])):
        torch.testing.assert_close(layer.weight.grad, other.weight.grad * (other.weight != 0))
