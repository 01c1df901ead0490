"""Whole blocks of residual networks and transformers, which hand on what they read once they add nothing to it.

The law is that of channels: a network without a block computes what it computes with all of the block's weights,
biases and scales at zero. A block whose shortcut is a layer, or changes the shape, does not hand on what it reads, and
stays.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secateur.channels.surgery import CANNOT, TOLERANCE, computed, relative_difference, take_out
from secateur.pruning.plan import record_of, remember
from secateur.utils.errors import UserError, nearest, one_line
from secateur.utils.modes import evaluation_mode


@torch.no_grad()
def residual_blocks(network: nn.Module, example: Tensor) -> dict[str, float]:
    """Find the blocks that can go whole, by name, in the order in which they run.

    `example` are images (N, C, H, W). The number says how far what a block puts out is from what it reads on these, by
    their Euclidean norms: about 0 for a block that does nothing.
    """
    seen: dict[str, list[tuple[Tensor, Any]]] = {}
    read: dict[nn.Module, tuple[Any, ...]] = {}

    def look(name: str) -> Any:
        def keep(module: nn.Module, _: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            inputs = read.pop(module)
            plain = len(inputs) == 1 and not kwargs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)
            same = plain and inputs[0].shape == output.shape
            # Of its own: the next may change it in place.
            seen.setdefault(name, []).append((inputs[0], output.clone()) if same else (torch.zeros(0), None))

        return keep

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        read[module] = inputs  # the module has a copy, which it may change in place
        return tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)

    modules = {
        name: module
        for name, module in network.named_modules()
        if name and any(True for _ in module.children()) and any(True for _ in module.parameters())
    }
    handles = [module.register_forward_pre_hook(enter) for module in modules.values()]
    handles += [module.register_forward_hook(look(name), with_kwargs=True) for name, module in modules.items()]
    try:
        with evaluation_mode(network):
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for name, module in modules.items():
        calls = seen.get(name, [])
        if len(calls) == 1 and calls[0][1] is not None and _hands_on(module, calls[0][0]):
            source, output = calls[0]
            found[name] = float((output - source).norm() / source.norm().clamp(min=1e-12))
    return found


@torch.no_grad()
def remove_blocks(network: nn.Module, names: Sequence[str], example: Tensor) -> None:
    """Remove blocks, in place; an optimizer is made afterwards, as their parameters are gone.

        changes = secateur.residual_blocks(network, images)
        least = sorted(changes, key=changes.get)[:2]
        secateur.remove_blocks(network, least, images[:1])

    `example` is an image (1, C, H, W). `secateur.save` writes what is left, and `load` removes the same blocks from a
    fresh network. Raises `ValueError`, in one line, for a name that is no such block; the network is then as it was.
    """
    names = [names] if isinstance(names, str) else list(names)
    known = residual_blocks(network, example)
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise UserError(f"'{name}' is no block that hands on what it reads once it adds nothing{near}")
    zeros, smaller = copy.deepcopy(network), copy.deepcopy(network)
    for name in names:
        _zero(zeros.get_submodule(name))
    images = torch.rand((2, *example.shape[1:]), generator=torch.Generator().manual_seed(0)).to(example)
    try:
        take_out(smaller, names)
        found, expected = (computed(each, images, exact=True) for each in (smaller, zeros))
    except CANNOT as error:
        raise UserError(f"the network does not run without {', '.join(names)}: {one_line(error)}") from error
    if (difference := relative_difference(found, expected)) > TOLERANCE:
        raise UserError(
            f"without {', '.join(names)} the outputs are {difference:.1e} off what they are with their weights at zero"
        )
    take_out(network, names)
    record = record_of(network)
    removed = [*(record.removed if record else []), [(name, []) for name in names]]
    masked = [
        layer
        for layer in (record.masked if record else ())
        if not layer.startswith(tuple(f"{name}." for name in names))
    ]
    remember(network, removed, masked, example)


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.zero_()


def _hands_on(module: nn.Module, source: Tensor) -> bool:
    """Whether a module puts out what it reads once all its parameters are zero."""
    module = copy.deepcopy(module).eval()
    _zero(module)
    output = module(source.clone())
    return bool((output - source).abs().max() <= TOLERANCE * source.abs().max())
