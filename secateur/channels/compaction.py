"""Removes the channels that a pruned network no longer needs; it computes the same with fewer.

Two kinds of channels can go. What nobody reads: all weights that read the channel are zero. And constants: a channel
whose own weights are all zero has the same value for every image (its bias through norm and activation), which can be
added to the biases of the layers that read it. Both spread: a channel that only constants feed is constant, and what
only feeds channels that go is read by nobody.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.channels.groups import Group
from secateur.channels.readers import Reader, connected, random_images, readers_of
from secateur.channels.surgery import Removal, Surgery
from secateur.pruning.layers import inputs_first, prunable_layers
from secateur.pruning.masks import Masks
from secateur.utils.modes import evaluation_mode, in_float64


@dataclass(frozen=True)
class Compacted:
    """A network without the channels that it does not need."""

    network: nn.Module
    #: The masks of the smaller network.
    masks: Masks
    #: What was removed, which repeats it on a network as it was before.
    removals: list[Removal]
    #: How many outputs of layers that were.
    nodes: int


def compact(network: nn.Module, example: Tensor, masks: Masks) -> Compacted | None:
    """Return a smaller copy that computes the same in evaluation mode, or None where every channel is needed.

    `example` is an image (1, C, H, W) on the network's device; the copy is the same function for images of its shape.

    A constant is added to the bias of each layer that reads it, or taken from the running mean of the batch norm that
    alone follows a layer without bias. A channel stays where that is not exact: where its constant is not zero and a
    convolution reads it across a border of zeros, so that it counts less there, or neither bias nor norm can take it
    up. Channels coupled by a residual addition go together or not at all, and each layer keeps one at the least;
    channels stay that belong to a grouped convolution, other than a depthwise one, to heads of attention, or to a norm
    that takes its statistics over all of them.
    """
    if not _has_zero_channel(network):
        return None
    surgery = Surgery(network, example)
    groups = [group for group in surgery.groups.values() if group.inputs and _is_plain(group)]
    readers = readers_of(_on_cpu(network), example.cpu())
    groups = [group for group in groups if all(name in readers for name, _, _ in group.inputs)]
    unread = _unread(groups, readers)
    cuts: list[Removal] = []
    stays: dict[str, Tensor] = {}
    nodes = 0
    for group in groups:
        gone = torch.zeros_like(unread[group.root])
        channels = group.units[:, 0]
        going = group.removable(reversed(unread[group.root][channels].nonzero().flatten().tolist()))
        gone[channels[going]] = True
        stays[group.root] = unread[group.root] & ~gone
        if gone.any():
            cuts.append((group.root, gone.nonzero().flatten().tolist()))
            nodes += int(group.nodes[going].sum())
    if not cuts:
        return None
    smaller = copy.deepcopy(network)
    kept = dict(masks.kept)
    for name, inputs in _of_readers(groups, stays, readers).items():
        _stop_reading(smaller, kept, name, inputs)
    for name, inputs in _of_readers(groups, unread, readers).items():
        readers[name].fold(smaller, inputs)
    smaller_masks = Masks(smaller, masks.hold)
    smaller_masks.set(kept)
    smaller_masks.keep_indices(surgery.remove(cuts, smaller))
    return Compacted(smaller, smaller_masks, cuts, nodes)


@torch.no_grad()
def difference(network: nn.Module, other: nn.Module, example: Tensor) -> float:
    """Return how far apart the outputs of two networks are on random images, relative to the largest output.

    Both are evaluated in float64, so that it is not the rounding of either that is measured.
    """
    images = random_images(example.cpu().double(), 4)

    def run(exact: nn.Module) -> Tensor:
        with evaluation_mode(exact):
            return exact(images)

    first, second = (in_float64(run, _on_cpu(each)) for each in (network, other))
    return float((second - first).abs().max() / first.abs().max().clamp(min=1e-12))


def _on_cpu(network: nn.Module) -> nn.Module:
    """The network itself where it is on the CPU, else a copy."""
    elsewhere = any(tensor.device.type != "cpu" for tensor in network.state_dict().values())
    return copy.deepcopy(network).cpu() if elsewhere else network


def _has_zero_channel(network: nn.Module) -> bool:
    """Whether any output of a layer has no weights, or any input is not read."""
    for layer in prunable_layers(network).values():
        read = connected(layer.weight)
        if not (read.any(0).all() and read.any(1).all()):
            return True
    return False


def _is_plain(group: Group) -> bool:
    """Whether each unit is a channel by itself, of which no other group has a part, and no norm the statistics."""
    return group.units.shape[1] == 1 and not group.divided and not group.averages


def _unread(groups: list[Group], readers: dict[str, Reader]) -> dict[str, Tensor]:
    """Return by root which channels (C,) nobody needs, once constants are folded; the largest such set.

    Needed is what is read by outputs that are needed, beginning with those that are in no group, as the classes are.
    """
    dead = {name: torch.zeros(len(reader.needed), dtype=torch.bool) for name, reader in readers.items()}
    unread = {group.root: torch.ones(group.channels, dtype=torch.bool) for group in groups}
    changed = True
    while changed:
        for group in groups:
            for name, own, root in group.outputs:
                if name in dead:
                    dead[name][own] = unread[group.root][root]
        used = {name: reader.needed[~dead[name]].any(0) for name, reader in readers.items()}
        changed = False
        for group in groups:
            before = unread[group.root].sum()
            for name, own, root in group.inputs:
                unread[group.root][root[used[name][own]]] = False
            changed |= bool(unread[group.root].sum() < before)
    return unread


def _of_readers(groups: list[Group], channels: dict[str, Tensor], readers: dict[str, Reader]) -> dict[str, Tensor]:
    """Turn channels (C,) by root into inputs (I,) by the layer that reads them."""
    inputs = {name: torch.zeros(reader.needed.shape[1], dtype=torch.bool) for name, reader in readers.items()}
    for group in groups:
        for name, own, root in group.inputs:
            inputs[name][own] = channels[group.root][root]
    return inputs


@torch.no_grad()
def _stop_reading(network: nn.Module, masks: dict[str, Tensor], name: str, inputs: Tensor) -> None:
    """Set the weights to zero with which a layer reads these inputs, and let its mask say so."""
    layer = network.get_submodule(name)
    inputs_first(layer)[inputs] = 0
    if name in masks:
        masks[name] = masks[name].clone()
        inputs_first(layer, masks[name])[inputs] = False
