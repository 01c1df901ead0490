"""Widths that the machine likes: what a channel costs, by counting, or by a table of layers that were measured.

The time of a layer is no smooth function of its channels: 33 may take longer than 40. Each shape is measured once on a
machine, and kept.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from secateur.channels.groups import Group
from secateur.measuring.flops import count_flops
from secateur.pruning.layer_inputs import see_inputs
from secateur.pruning.layers import prunable_layers
from secateur.sparse.choice import cache_folder, keep, machine, median_times
from secateur.utils.terminal import progress_bar

#: Kernels are fast on multiples of it.
MULTIPLE = 8
#: More channels that take no longer than this many times what fewer take are as fast.
AS_FAST = 1.02
#: Each shape of a layer is measured for so many seconds.
SECONDS = 0.03


class Widths:
    """What the channels of a network cost in the layers that put them out and that read them.

    Parameters: `example`, an image (1, C, H, W) on the network's device; `groups` of channels by root; `images` at a
    time that seconds are measured with.
    """

    def __init__(self, network: nn.Module, example: Tensor, groups: dict[str, Group], images: int = 1) -> None:
        self.layers, self.groups, self.images = prunable_layers(network), groups, images
        self.flops = count_flops(network, example).layers
        names = {name for group in groups.values() for name, _, _ in group.norms}
        self.norms = {name: network.get_submodule(name) for name in names}
        self.shapes = _input_shapes(network, self.layers | self.norms, example)
        #: Seconds by what they are of: to look into the table, a layer and what it reads are made.
        self._seconds: dict[tuple[Any, ...], float] = {}

    def unit_costs(self, kind: str) -> dict[str, float]:
        """Return what one unit of each group costs, by root: `flops` of an image, or seconds of `latency`.

        Seconds are those that half of the units take on the average, as one alone may take none.
        """
        found = {}
        with progress_bar(len(self.groups), "groups of channels") as advance:
            for root, group in self.groups.items():
                units = len(group.units)
                going = max(1, units // 2) if kind == "latency" else 1
                cost = (self.total(root, units, kind) - self.total(root, units - going, kind)) / going
                found[root] = max(cost, 1e-12)  # by the clock, fewer may take as long
                advance(1, root)
        return found

    def liked(self, root: str, units: int) -> int:
        """Return how many units to leave of a group where `units` would be: more, up to a multiple, if as fast."""
        more = -(-units // MULTIPLE) * MULTIPLE
        if more == units or more > len(self.groups[root].units):
            return units
        fast = self.total(root, more, "latency") <= AS_FAST * self.total(root, units, "latency")
        return more if fast else units

    def total(self, root: str, units: int, kind: str) -> float:
        """What all layers cost that have channels of a group, with so many units of it left."""
        group, lost = self.groups[root], {}
        for role, members in enumerate((group.inputs, group.outputs)):
            for name, own, _ in members:
                if name in self.layers and name in self.shapes:
                    lost.setdefault(name, [0, 0])[role] += len(own) * (len(group.units) - units) // len(group.units)
        found = sum(self._layer(name, *gone, kind) for name, gone in lost.items())
        if kind == "flops":
            return found
        norms = [(name, len(own)) for name, own, _ in group.norms if name in self.shapes]
        return found + sum(self._norm(name) * channels * units / len(group.units) for name, channels in norms)

    def _norm(self, name: str) -> float:
        """The seconds of one channel of a norm and of the activation that follows: all are moved, and take as long."""
        shape = self.shapes[name]
        if (name,) not in self._seconds:
            self._seconds[name,] = layer_times().of_norm(self.norms[name], (self.images, *shape))
        return self._seconds[name,] / shape[0]

    def _layer(self, name: str, inputs_lost: int, outputs_lost: int, kind: str) -> float:
        layer = self.layers[name]
        inputs, outputs = _widths_of(layer)
        groups = getattr(layer, "groups", 1)
        left = (max(1, inputs - inputs_lost), max(1, outputs - outputs_lost))
        if groups == outputs > 1:  # depthwise: as many inputs
            left = (min(left),) * 2
        if kind == "flops":
            share = left[1] / outputs if groups == outputs > 1 else left[0] / inputs * left[1] / outputs
            return self.flops[name] * share
        if (name, *left) not in self._seconds:
            self._seconds[name, *left] = layer_times().seconds(layer, *left, (self.images, *self.shapes[name]))
        return self._seconds[name, *left]


class LayerTimes:
    """The seconds of layers by their shape, measured once on this machine."""

    def __init__(self) -> None:
        name = hashlib.sha256(repr(machine()).encode()).hexdigest()[:32]
        self.path = cache_folder("layers") / f"{name}.json"
        self.known: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError):
            self.known = {key: float(value) for key, value in json.loads(self.path.read_text()).items()}

    @torch.no_grad()
    def of_norm(self, norm: nn.Module, shape: tuple[int, ...]) -> float:
        """Return the seconds of a norm and a ReLU on features of `shape` (N, C, ...)."""
        made = nn.Sequential(copy.deepcopy(norm).eval(), nn.ReLU())
        weight = next(norm.parameters(), None)
        given = torch.rand(shape) if weight is None else torch.rand(shape, device=weight.device, dtype=weight.dtype)
        return self._measured(f"{made[0]} and ReLU", made, given)

    @torch.no_grad()
    def seconds(self, layer: nn.Module, inputs: int, outputs: int, shape: tuple[int, ...]) -> float:
        """Return the seconds of a layer like this one with so many inputs and outputs, on images of `shape` (N, ...).

        Of the shape the channels count as `inputs`, whatever they are.
        """
        made, given = _resized(layer, inputs, outputs, shape)
        return self._measured(str(made), made, given)

    def _measured(self, name: str, made: nn.Module, given: Tensor) -> float:
        key = f"{name} {tuple(given.shape)} {given.device} {given.dtype}"
        if key not in self.known:
            self.known[key] = median_times({"layer": lambda: _call(made, given)}, SECONDS)["layer"]
            keep(self.path, self.known)
        return self.known[key]


@cache
def layer_times() -> LayerTimes:
    """The table of this machine."""
    return LayerTimes()


def _call(layer: nn.Module, given: Tensor) -> Tensor:
    found = layer(given)
    if given.device.type == "cuda":
        torch.cuda.synchronize(given.device)
    return found


def _widths_of(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, _ConvNd):
        return layer.in_channels, layer.out_channels
    return layer.in_features, layer.out_features


def _resized(layer: nn.Module, inputs: int, outputs: int, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """A layer of the same kind with so many inputs and outputs, and numbers that it takes."""
    weight, has_bias = layer.weight, layer.bias is not None
    place = {"device": weight.device, "dtype": weight.dtype}
    if not isinstance(layer, _ConvNd):
        return nn.Linear(inputs, outputs, has_bias, **place), torch.rand(*shape[:-1], inputs, **place)
    groups = layer.groups
    if groups == layer.out_channels > 1:
        groups = inputs = outputs = min(inputs, outputs)
    elif groups > 1:
        inputs, outputs = (max(groups, width - width % groups) for width in (inputs, outputs))
    settings: dict[str, Any] = {
        name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    if layer.transposed:
        settings["output_padding"] = layer.output_padding
    made = next(kind for kind in type(layer).__mro__ if kind.__module__ == "torch.nn.modules.conv")(
        inputs, outputs, groups=groups, bias=has_bias, **settings, **place
    )
    given = torch.rand(shape[0], inputs, *shape[2:], **place)
    if weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        made, given = (one.to(memory_format=torch.channels_last) for one in (made, given))
    return made, given


def _input_shapes(network: nn.Module, layers: dict[str, nn.Module], example: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape of what each layer reads that runs, without the images' dimension."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, _layer: nn.Module, given: Tensor) -> None:
        shapes.setdefault(name, tuple(given.shape[1:]))

    see_inputs(network, layers, example, note)
    return shapes
