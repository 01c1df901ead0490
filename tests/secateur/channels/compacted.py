"""Compacting a network, and whether it computes the same afterwards."""

import torch

from secateur.channels.compaction import compact
from secateur.pruning.masks import Masks


def compacted(network, *shape):
    """Compact a network whose zero weights are its masks."""
    masks = Masks(network.eval())
    masks.set({name: weight != 0 for name, weight in masks.weights.items()})
    return compact(network, torch.zeros(1, *shape), masks)


def same(network, smaller, *shape):
    """Whether both compute the same, up to 1e-5 of the largest output, and not one constant."""
    images = torch.randn(8, *shape)
    with torch.no_grad():
        expected, found = network.eval()(images), smaller.eval()(images)
    assert expected.std(0).max() > 1e-4 * expected.abs().max()
    return (found - expected).abs().max() <= 1e-5 * expected.abs().max()
