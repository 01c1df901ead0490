"""Which weights of a network can be pruned, and which of its layers are the outer ones."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from secateur.utils.errors import UserError, nearest
from secateur.utils.modes import evaluation_mode

#: How many layers a line names.
NAMED = 3
#: Why a layer is not pruned.
IGNORED = "--ignore_layers names them"
OUTER = "it is the first or the last, and --outer_layer_pruning was not given"
COMPUTED = "its weight is computed from other tensors, as by a parametrization"


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


def computed_layers(network: nn.Module) -> list[str]:
    """The names of Linear layers and convolutions whose weight is no parameter."""
    named = network.named_modules()
    return [
        name
        for name, module in named
        if isinstance(module, nn.Linear | _ConvNd) and not isinstance(module.weight, nn.Parameter)
    ]


def matching_layers(network: nn.Module, patterns: Iterable[str], flag: str = "ignore_layers") -> set[str]:
    """Return the prunable layers whose names fit one of a flag's patterns, in which * stands for anything.

    Raises `UserError` where a pattern fits none.
    """
    layers, found = prunable_layers(network), set()
    for pattern in patterns:
        fitting = set(fnmatch.filter(layers, pattern))
        if not fitting:
            raise UserError(f"--{flag} {pattern} fits no layer of the network{nearest(pattern, layers)}")
        found |= fitting
    return found


def layer_sparsities(network: nn.Module, asked: Iterable[str], left_out: dict[str, str]) -> dict[str, float]:
    """Read `--layer_sparsity`, texts such as `layer4.*=0.5`; returns the sparsity in [0, 1) of each layer they name.

    Of several that fit a layer the last one counts. Raises `UserError` where one is out of range, fits none, or only
    layers that are not pruned, which `left_out` has with the reason.
    """
    found = {}
    for text in asked:
        pattern, _, value = text.rpartition("=")
        if not float(value) < 1:
            raise UserError(f"--layer_sparsity {text}: the sparsity is at least 0 and below 1")
        names = matching_layers(network, [pattern], "layer_sparsity")
        if float(value) and names <= left_out.keys():
            name = min(names)
            raise UserError(f"--layer_sparsity {text}: {name} is not pruned: {left_out[name]}")
        found |= dict.fromkeys(names, float(value))
    return found


def like_layers(network: nn.Module, names: Iterable[str]) -> list[list[str]]:
    """Gather the layers of the same kind and size of kernel; depthwise and grouped convolutions are of their own."""
    alike: dict[tuple, list[str]] = {}
    for name in names:
        layer = network.get_submodule(name)
        groups = getattr(layer, "groups", 1)
        kind = (type(layer), layer.weight.shape[2:], groups > 1, 1 < groups == len(layer.weight))
        alike.setdefault(kind, []).append(name)
    return list(alike.values())


def told(left_out: dict[str, str]) -> str:
    """Name in one line the layers that are left out, with the reason; not those that were asked for."""
    outer = ", ".join(name for name, why in left_out.items() if why == OUTER)
    spared = f"not pruned without outer_layer_pruning: {outer}, the first and the last layer" if outer else ""
    unasked = {name: why for name, why in left_out.items() if why not in (IGNORED, OUTER)}
    if not unasked:
        return spared
    named = ", ".join(f"{name} ({why})" for name, why in list(unasked.items())[:NAMED])
    more = f", and {len(unasked) - NAMED} more" if len(unasked) > NAMED else ""
    count = "1 layer is" if len(unasked) == 1 else f"{len(unasked)} layers are"
    return f"{count} not pruned, or only in part: {named}{more}" + (f"; {spared}" if spared else "")


def prunable_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the prunable weights, by layer name. Biases and norms are never pruned."""
    return {name: layer.weight for name, layer in prunable_layers(network).items()}


def outputs_first(layer: nn.Module, tensor: Tensor | None = None) -> Tensor:
    """What has the shape of the layer's weight, by default the weight itself, as (O, I / groups, ...).

    Of transposed convolutions, which have (I, O / groups, ...), outputs and inputs change places: a view where there is
    one group, else a copy. Called again with the result it leads back.
    """
    tensor = layer.weight if tensor is None else tensor
    return _swapped(layer, tensor) if _inputs_lead(layer) else tensor


def inputs_first(layer: nn.Module, tensor: Tensor | None = None) -> Tensor:
    """The same as (I, O / groups, ...): of all layers but transposed convolutions outputs and inputs change places."""
    tensor = layer.weight if tensor is None else tensor
    return tensor if _inputs_lead(layer) else _swapped(layer, tensor)


def along_outputs(layer: nn.Module, values: Tensor) -> Tensor:
    """Shape values (O,), one an output, so that they broadcast to the layer's weight."""
    shaped = values.view(-1, *[1] * (layer.weight.dim() - 1))
    if not _inputs_lead(layer):
        return shaped
    return _swapped(layer, shaped).repeat_interleave(layer.in_channels // layer.groups, 0)


def _inputs_lead(layer: nn.Module) -> bool:
    return getattr(layer, "transposed", False)


def _swapped(layer: nn.Module, tensor: Tensor) -> Tensor:
    """Let the first two axes, the first of which counts over all groups and the second within one, change places."""
    return tensor.unflatten(0, (getattr(layer, "groups", 1), -1)).transpose(1, 2).flatten(0, 1)


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
