"""A trained network without its smallest weights, or its smallest units."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from secateur.channels.filters import filters_of
from secateur.pruning.layers import execution_order, outputs_first, prunable_layers

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
        rows = mask if mask.dim() == 2 else mask[:, None].expand_as(filters_of(layer))
        layer.weight.mul_(outputs_first(layer, rows.view_as(outputs_first(layer))))
        if mask.dim() == 1 and layer.bias is not None:
            layer.bias.mul_(mask)
    return pruned
