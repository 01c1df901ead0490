"""The ways from a layer to the layers that read it, on which each channel stays by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from secateur.channels.groups import Group
from secateur.channels.surgery import Surgery
from secateur.pruning.layers import execution_order

#: As autograd names them: f(s * x) = s * f(x) for s > 0.
HOMOGENEOUS = {"Relu", "LeakyRelu"}
#: These scale likewise, and take the numbers of a channel for numbers of that channel.
POOLING = {
    "Mean", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D",
    "AdaptiveAvgPool3D", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "MkldnnMaxPool2D",
}  # fmt: skip
#: These move numbers about, in ways that the graph of channels follows.
MOVING = {"View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Clone", "Alias", "Cat"}


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
    ends = _walk(surgery.node(group.root), None, False)
    names = {module: name for name, module in surgery.network.named_modules()}
    numbers = {name: (own, ours) for name, own, ours in (*group.norms, *group.inputs)}
    readers = [names.get(reader) for _, reader in ends or []]
    if len(set(readers)) < len(readers) or set(readers) != {name for name, _, _ in group.inputs} or set(readers) - once:
        return []
    chains = []
    for (norm, _), reader in zip(ends, readers, strict=True):
        columns = _by_channel(*numbers[reader], group.channels)
        places = _by_channel(*numbers[names[norm]], group.channels) if norm else None
        if columns is None or (norm and (places is None or places.shape[1] > 1)):
            return []
        chains.append(Chain(group.root, (names[norm], places[:, 0]) if norm else None, reader, columns))
    return chains


def _walk(node: Any, norm: nn.Module | None, activated: bool) -> list[tuple[nn.Module | None, nn.Module]] | None:
    """Return (norm, reader) for each way from a node of the graph; None where one is not as a chain must be."""
    ends = []
    for following in node.outputs:
        module = following.module
        operation = re.sub(r"Backward\d*$", "", following.grad_fn.name())
        if isinstance(module, nn.Linear | _ConvNd):
            further = [(norm, module)] if getattr(module, "groups", 1) == 1 else None
        elif isinstance(module, _BatchNorm):
            # A norm behind the ReLU adds a number to what may not be shifted, and a second one is for nobody to need.
            usable = norm is None and not activated and module.running_var is not None
            further = _walk(following, module, False) if usable else None
        elif operation in HOMOGENEOUS | POOLING | MOVING:
            further = _walk(following, norm, activated or operation in HOMOGENEOUS)
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
