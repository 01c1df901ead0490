"""Which weights of a network can be pruned, and which of its layers are the outer ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from utils.modes import evaluation_mode


def prunable_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose weight can be pruned, by name: Linear, convolutions and transposed ones.

    A weight that several layers share stands there once, under its first name.
    """
    layers, seen = {}, set()
    for name, module in network.named_modules():
        # A weight that is computed, as by torch.nn.utils.parametrizations, is no parameter and cannot be set to zero.
        prunable = isinstance(module, nn.Linear | _ConvNd) and isinstance(module.weight, nn.Parameter)
        if prunable and id(module.weight) not in seen:
            seen.add(id(module.weight))
            layers[name] = module
    return layers


def prunable_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the prunable weights, by layer name. Biases and norms are never pruned."""
    return {name: layer.weight for name, layer in prunable_layers(network).items()}


def outputs_first(layer: nn.Module) -> Tensor:
    """The layer's weight as (O, ...), its outputs first, where transposed convolutions have their inputs."""
    if not getattr(layer, "transposed", False):
        return layer.weight
    return layer.weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)


def execution_order(network: nn.Module, example: Tensor) -> list[str]:
    """Return the names of the prunable layers that a forward pass reaches, in that order; one reached twice, twice.

    `example` is a batch of inputs (N, C, H, W).
    """
    reached: list[str] = []
    handles = [
        layer.register_forward_pre_hook(lambda *_, name=name: reached.append(name))
        for name, layer in prunable_layers(network).items()
    ]
    try:
        with evaluation_mode(network), torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return reached


def outer_layers(network: nn.Module, example: Tensor) -> set[str]:
    """Return the names of the first and the last prunable layer that a forward pass of `example` reaches."""
    reached = execution_order(network, example)
    return {reached[0], reached[-1]} if reached else set()
