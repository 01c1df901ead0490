"""The filters of channels: the weights that a channel is computed with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from secateur.channels.groups import Group
from secateur.pruning.layers import outputs_first


@torch.no_grad()
def filter_scores(
    network: nn.Module, groups: dict[str, Group], measure: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Score the channels of each group by their filters: `measure` turns filters (O, F) into numbers (O,).

    Channels of coupled layers are scored by the sum over the layers.
    """
    modules = dict(network.named_modules())
    scores = {}
    for root, group in groups.items():
        total = torch.zeros(group.channels, device=next(network.parameters()).device)
        for name, own, ours in group.outputs:
            values = measure(filters_of(modules[name]))
            total.index_add_(0, ours.to(total.device), values[own.to(total.device)].float())
        scores[root] = total
    return scores


def filters_of(layer: nn.Module) -> Tensor:
    """The weight of a Linear layer or a convolution as a row (O, F) for each output."""
    return outputs_first(layer).detach().flatten(1)
