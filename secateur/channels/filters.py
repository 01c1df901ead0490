"""The filters of channels: the weights that a channel is computed with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from secateur.channels.groups import Group
from secateur.pruning.layers import outputs_first


@torch.no_grad()
def filter_scores(
    network: nn.Module, groups: dict[str, Group], measure: Callable[[Tensor], Tensor], bias: bool = False
) -> dict[str, Tensor]:
    """Score the channels of each group by their filters: `measure` turns filters (O, F) into numbers (O,).

    Channels of coupled layers are scored by the sum over the layers. With `bias` a filter has its bias for a last
    weight, where the layer has one.
    """
    modules = dict(network.named_modules())
    scores = {}
    for root, group in groups.items():
        total = torch.zeros(group.channels, device=next(network.parameters()).device)
        for name, own, ours in group.outputs:
            values = measure(filters_of(modules[name], bias))
            total.index_add_(0, ours.to(total.device), values[own.to(total.device)].float())
        scores[root] = total
    return scores


def filters_of(layer: nn.Module, bias: bool = False) -> Tensor:
    """The weight of a Linear layer or a convolution as a row (O, F) for each output; with `bias`, (O, F + 1)."""
    rows = outputs_first(layer).detach().flatten(1)
    return torch.cat([rows, layer.bias.detach()[:, None]], 1) if bias and layer.bias is not None else rows
