"""A trained network without its smallest weights, or its smallest units."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from utils.pruning.filters import filters_of
from utils.pruning.layers import execution_order, prunable_layers

#: What is pruned, and by which norm of it: |w| (O, F) of each weight, the L2 norm (O,) of each unit's incoming weights.
NORMS = {
    "weight": lambda layer: filters_of(layer).abs(),
    "unit": lambda layer: filters_of(layer).norm(dim=1),
}


def hidden_layers(network: nn.Module, example: Tensor) -> dict[str, nn.Module]:
    """Return the prunable layers that a forward pass of `example` (N, C, H, W) reaches, all but the last, by name."""
    order, layers = execution_order(network, example), prunable_layers(network)
    return {name: layers[name] for name in dict.fromkeys(order) if name != order[-1]}


@torch.no_grad()
def without(network: nn.Module, kept: dict[str, Tensor]) -> nn.Module:
    """Return a copy of the network with the weights set to zero that `kept`, boolean by layer name, leaves out.

    `kept` marks weights as (O, F) or units as (O,), as `NORMS` has them; a unit loses its weights and its bias.
    """
    pruned = copy.deepcopy(network)
    for name, mask in kept.items():
        layer = pruned.get_submodule(name)
        layer.weight.mul_(_like_weight(layer, mask if mask.dim() == 2 else mask[:, None].expand_as(filters_of(layer))))
        if mask.dim() == 1 and layer.bias is not None:
            layer.bias.mul_(mask)
    return pruned


def _like_weight(layer: nn.Module, rows: Tensor) -> Tensor:
    """Lay out numbers (O, F) as the layer's weight, which of transposed convolutions begins with the inputs."""
    if not getattr(layer, "transposed", False):
        return rows.view_as(layer.weight)
    inputs, outputs, *kernel = layer.weight.shape  # inputs of all groups, outputs of one
    grouped = rows.reshape(layer.groups, outputs, inputs // layer.groups, *kernel)
    return grouped.transpose(1, 2).reshape(layer.weight.shape)
