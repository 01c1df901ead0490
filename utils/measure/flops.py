"""Floating-point operations of a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from utils.pruning.layers import prunable_layers

#: A training step costs about three forward passes: one, and two for the gradients of activations and of weights.
TRAINING_FACTOR = 3


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one sample, a multiply-add counted as two, as torch.utils.flop_counter counts them.

    It counts convolutions, matrix products and attention; norms, activations and pooling are left out.
    """

    total: int
    #: Of each prunable layer.
    layers: dict[str, int]

    def effective(self, densities: dict[str, float]) -> int:
        """What is left where a layer costs its density times as much, as if zero weights were free."""
        saved = sum(flops * (1 - densities[name]) for name, flops in self.layers.items())
        return round(self.total - saved)


@torch.no_grad()
def count_flops(network: nn.Module, example: Tensor) -> Flops:
    """Count the operations of a forward pass of `example`, one image (1, C, H, W), in evaluation mode."""
    training = network.training
    network.eval()
    with FlopCounterMode(display=False) as counter:
        network(example)
    network.train(training)
    root = type(network).__name__
    counts = counter.get_flop_counts()
    layers = {
        name: sum(counts.get(f"{root}.{name}" if name else root, {}).values()) for name in prunable_layers(network)
    }
    return Flops(counter.get_total_flops(), layers)
