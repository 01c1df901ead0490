"""The ways from a layer to the layers that read it, on which each channel stays by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from secateur.channels.groups import Group
from secateur.channels.surgery import Surgery
from secateur.channels.tracing import Operation
from secateur.pruning.layers import execution_order

#: As ATen names them: f(s * x) = s * f(x) for s > 0.
HOMOGENEOUS = {"relu", "leaky_relu"}
#: These scale likewise, and take the numbers of a channel for numbers of that channel.
POOLING = {
    "mean", "max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d", "mkldnn_max_pool2d",
}  # fmt: skip
#: These move numbers about, in ways that labels follow.
MOVING = {"view", "_unsafe_view", "squeeze", "unsqueeze", "clone", "alias", "detach", "cat"}


@dataclass(frozen=True)
class Chain:
    """A way from a layer to one that reads it: batch norm or none, ReLU or none, pooling, flattening.

    Whoever makes one of the C channels s > 0 times as large makes what the reader gets of it s times as large.
    """

    layer: str
    #: The batch norm on the way, before the ReLU, with the number (C,) that each channel has there.
    norm: tuple[str, Tensor] | None
    reader: str
    #: (C, P): which inputs of the reader are made of each channel; P is 1 unless maps of P pixels are flattened.
    columns: Tensor


def find_chains(surgery: Surgery) -> dict[str, list[Chain]]:
    """Return all ways from each layer whose channels go nowhere else, by its name.

    Layers that are coupled with others are left out, those with groups, and those that are used several times.
    """
    once = used_once(surgery.network, surgery.example)
    found = {}
    for root, group in surgery.groups.items():
        layer = surgery.network.get_submodule(root)
        if [name for name, _, _ in group.outputs] != [root] or getattr(layer, "groups", 1) > 1 or root not in once:
            continue
        chains = _chains_of(surgery, group, once)
        if chains:
            found[root] = chains
    return found


def used_once(network: nn.Module, example: Tensor) -> set[str]:
    """The names of the layers that a forward pass reaches once, and whose weight no other layer shares."""
    order = execution_order(network, example)
    weights = [getattr(module, "weight", None) for module in network.modules()]

    def is_alone(name: str) -> bool:
        own = network.get_submodule(name).weight
        return order.count(name) == 1 and sum(weight is own for weight in weights) == 1

    return {name for name in order if is_alone(name)}


def _chains_of(surgery: Surgery, group: Group, once: set[str]) -> list[Chain]:
    """All ways from the group's layer; none where one of them leads elsewhere."""
    (layer,) = surgery.uses(group.root)
    ends = _walk(surgery.network, layer, None, False)
    numbers = {name: (own, ours) for name, own, ours in (*group.norms, *group.inputs)}
    readers = [reader for _, reader in ends or []]
    if len(set(readers)) < len(readers) or set(readers) != {name for name, _, _ in group.inputs} or set(readers) - once:
        return []
    chains = []
    for norm, reader in ends:
        columns = _by_channel(*numbers[reader], group.channels)
        places = _by_channel(*numbers[norm], group.channels) if norm else None
        if columns is None or (norm and (places is None or places.shape[1] > 1)):
            return []
        chains.append(Chain(group.root, (norm, places[:, 0]) if norm else None, reader, columns))
    return chains


def _walk(
    network: nn.Module, operation: Operation, norm: str | None, activated: bool
) -> list[tuple[str | None, str]] | None:
    """Return (norm, reader) for each way from an operation; None where one is not as a chain must be."""
    ends = []
    for following in operation.outputs:
        module = network.get_submodule(following.module) if following.module is not None else None
        if isinstance(module, nn.Linear | _ConvNd):
            further = [(norm, following.module)] if getattr(module, "groups", 1) == 1 else None
        elif isinstance(module, _BatchNorm):
            # A norm behind the ReLU adds a number to what may not be shifted, and a second one is for nobody to need.
            usable = norm is None and not activated and module.running_var is not None
            further = _walk(network, following, following.module, False) if usable else None
        elif following.name in HOMOGENEOUS | POOLING | MOVING:
            further = _walk(network, following, norm, activated or following.name in HOMOGENEOUS)
        else:
            further = None
        if further is None:
            return None
        ends += further
    return ends


def _by_channel(own: Tensor, ours: Tensor, channels: int) -> Tensor | None:
    """The numbers `own` of each of the root's channels `ours`, ascending, as (C, P); None where P differs."""
    if not torch.equal(ours.bincount(minlength=channels) * channels, torch.full((channels,), len(own))):
        return None
    order = own.argsort()
    return own[order][ours[order].argsort(stable=True)].view(channels, -1)
