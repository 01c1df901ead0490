"""Removes the channels that a pruned network no longer needs; it computes the same with fewer.

Two kinds of channels can go. What nobody reads: all weights that read the channel are zero. And constants: a channel
whose own weights are all zero has the same value for every image (its bias through norm and activation), which can be
added to the biases of the layers that read it. Both spread: a channel that only constants feed is constant, and what
only feeds channels that go is read by nobody.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from utils.modes import evaluation_mode
from utils.pruning.layers import prunable_layers
from utils.pruning.masks import Masks
from utils.pruning.surgery import Cut, Group, Surgery

#: How far apart sums of the same numbers may be in float64, relative, when they are taken in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Compacted:
    """A network without the channels that it does not need."""

    network: nn.Module
    #: The masks of the smaller network.
    masks: Masks
    #: What was removed, which repeats it on a network as it was before.
    cuts: list[Cut]
    #: How many outputs of layers that were.
    nodes: int


def compact(network: nn.Module, example: Tensor, masks: Masks) -> Compacted | None:
    """Return a smaller copy that computes the same in evaluation mode, or None where every channel is needed.

    `example` is an image (1, C, H, W) on the network's device; the copy is the same function for images of its shape.

    A constant is added to the bias of each layer that reads it, or taken from the running mean of the batch norm that
    alone follows a layer without bias. A channel stays where that is not exact: where its constant is not zero and a
    convolution reads it across a border of zeros, so that it counts less there, or neither bias nor norm can take it
    up. Channels coupled by a residual addition go together or not at all, and each layer keeps one at the least;
    channels that belong to a grouped convolution, other than a depthwise one, stay.
    """
    if not _has_zero_channel(network):
        return None
    smaller = copy.deepcopy(network)
    surgery = Surgery(smaller, example)
    groups = [group for group in surgery.groups.values() if group.units.shape[1] == 1 and group.inputs]
    exact = copy.deepcopy(network).cpu().double()  # in which rounding cannot be taken for a difference
    readers = _readers(exact, example.cpu().double())
    groups = [group for group in groups if all(name in readers for name, _, _ in group.inputs)]
    unread = _unread(groups, readers)
    cuts: list[Cut] = []
    stays: dict[str, Tensor] = {}
    nodes = 0
    for group in groups:
        gone = torch.zeros_like(unread[group.root])
        gone[group.removable(reversed(unread[group.root].nonzero().flatten().tolist()))] = True
        stays[group.root] = unread[group.root] & ~gone
        if gone.any():
            cuts.append((group.root, gone.nonzero().flatten().tolist()))
            nodes += int(group.nodes[gone].sum())
    if not cuts:
        return None
    kept = dict(masks.kept)
    for name, inputs in _of_readers(groups, stays, readers).items():
        _stop_reading(smaller, kept, name, inputs)
    for name, inputs in _of_readers(groups, unread, readers).items():
        readers[name].fold(smaller, inputs)
    smaller_masks = Masks(smaller, masks.hold)
    smaller_masks.set(kept)
    smaller_masks.cut(surgery.remove(cuts))
    return Compacted(smaller, smaller_masks, cuts, nodes)


@torch.no_grad()
def difference(network: nn.Module, other: nn.Module, example: Tensor) -> float:
    """Return how far apart the outputs of two networks are on random images, relative to the largest output.

    Both are evaluated in float64, so that it is not the rounding of either that is measured.
    """
    images = _random_images(example.cpu().double(), 4)
    outputs = []
    for each in (network, other):
        exact = copy.deepcopy(each).cpu().double()
        with evaluation_mode(exact):
            outputs.append(exact(images))
    return float((outputs[1] - outputs[0]).abs().max() / outputs[0].abs().max().clamp(min=1e-12))


@dataclass(frozen=True)
class _Reader:
    """A layer with O outputs that reads I channels."""

    name: str
    #: (O, I): the weights that are not zero and read what depends on the image, or what cannot be folded.
    needed: Tensor
    #: (O, I): what a channel that is constant adds to each output; 0 where that cannot be folded.
    constants: Tensor
    #: The norm that takes the constants up, of a layer without bias.
    norm: str | None

    @torch.no_grad()
    def fold(self, network: nn.Module, inputs: Tensor) -> None:
        """Add what these inputs, a boolean for each (I,), contribute to the bias, or take it from the norm's mean."""
        shift = self.constants[:, inputs].sum(1)
        if not shift.any():
            return
        layer = network.get_submodule(self.name)
        if layer.bias is not None:
            layer.bias += shift.to(layer.bias)
        else:
            mean = network.get_submodule(self.norm).running_mean
            mean -= shift.to(mean)


def _has_zero_channel(network: nn.Module) -> bool:
    """Whether any output of a layer has no weights, or any input is not read."""
    for layer in prunable_layers(network).values():
        read = _connected(layer.weight)
        if not (read.any(0).all() and read.any(1).all()):
            return True
    return False


def _connected(weight: Tensor) -> Tensor:
    """Which pairs of the first two dimensions have a weight that is not zero, boolean, of a weight with any kernel."""
    return (weight != 0).flatten(2).any(2) if weight.dim() > 2 else weight != 0


def _unread(groups: list[Group], readers: dict[str, _Reader]) -> dict[str, Tensor]:
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


def _of_readers(groups: list[Group], channels: dict[str, Tensor], readers: dict[str, _Reader]) -> dict[str, Tensor]:
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
    _outputs_first(layer, layer.weight)[:, inputs] = 0
    if name in masks:
        masks[name] = masks[name].clone()
        _outputs_first(layer, masks[name])[:, inputs] = False


def _outputs_first(layer: nn.Module, tensor: Tensor) -> Tensor:
    """What has the shape of the layer's weight, seen as (O, I, ...), which transposed convolutions have as (I, O)."""
    return tensor.transpose(0, 1) if getattr(layer, "transposed", False) else tensor


def _readers(network: nn.Module, example: Tensor) -> dict[str, _Reader]:
    """Describe each layer that is not grouped, by name; of one that is used twice, what it reads is never constant."""
    constant = _constant_inputs(network, example)
    norms = _following_norms(network, example)
    readers = {}
    for name, layer in _layers(network).items():
        if getattr(layer, "groups", 1) > 1:
            continue
        weight = _outputs_first(layer, layer.weight.detach())
        needed = _connected(weight)
        constants = torch.zeros_like(needed, dtype=torch.float64)
        if name in constant:
            can_fold = layer.bias is not None or name in norms
            contribution = _linear if isinstance(layer, nn.Linear) else _convolved
            contribution(layer, constant[name], needed, constants, can_fold)
        readers[name] = _Reader(name, needed, constants, norms.get(name))
    return readers


def _linear(layer: nn.Linear, inputs: Tensor, needed: Tensor, constants: Tensor, can_fold: bool) -> None:
    """Fill in what constant inputs (..., I), NaN where they are not constant, do to a linear layer."""
    inputs = inputs.flatten(0, -2)
    same = _steady(inputs.T)
    known = same & (can_fold | (inputs == 0).all(0))
    needed[:, known] = False
    constants[:, known] = layer.weight.detach()[:, known] * inputs[0, known]


def _convolved(layer: _ConvNd, inputs: Tensor, needed: Tensor, constants: Tensor, can_fold: bool) -> None:
    """Fill in what constant inputs (1, I, ...), NaN where they are not constant, do to a convolution."""
    zero = (inputs[0].flatten(1) == 0).all(1)
    needed[:, zero] = False
    if layer.transposed or not can_fold:
        return
    known = ~inputs[0].flatten(1).isnan().any(1) & needed.any(0)
    for channel in known.nonzero().flatten().tolist():
        own = slice(channel, channel + 1)
        # With its borders: whether the constant counts the same everywhere is seen, not derived.
        added = layer._conv_forward(inputs[:, own], layer.weight.detach()[:, own], None)[0].flatten(1)
        same = _steady(added)
        needed[same, channel] = False
        constants[same, channel] = added[same, 0]


def _steady(values: Tensor) -> Tensor:
    """Whether each row of values (R, P) is one number, up to rounding; NaN is none."""
    return (values - values[:, :1]).abs().amax(1) <= ROUNDING * values.abs().amax(1)


@torch.no_grad()
def _constant_inputs(network: nn.Module, example: Tensor) -> dict[str, Tensor]:
    """Return what each layer reads of an image of which nothing is known: constants, and NaN for all else.

    NaN spreads through every operation as the dependence on the image does; only from layers whose zero weights hold
    it off must it be taken away. Operations that lose it, as comparisons do in `where(x > 0, ...)`, are found out by
    layers that put out nothing else, and nothing behind them is held to be constant. A layer that is used more than
    once, or shares its weight, is left out.
    """
    layers = _layers(network)
    image = torch.full_like(example, torch.nan)
    arrives: dict[str, list[Tensor]] = {name: [] for name in layers}

    def all_unknown(name: str) -> Callable:
        def look(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            arrives[name].append(args[0].isnan())
            return torch.full_like(output, torch.nan)

        return look

    seen: dict[str, Tensor] = {}
    calls: Counter[int] = Counter()

    def unknown_where_it_depends(name: str) -> Callable:
        def look(layer: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> Tensor:
            calls[id(layer.weight)] += 1
            unknown = args[0].isnan() | ~arrives[name].pop(0)
            seen[name] = args[0].masked_fill(unknown, torch.nan)
            paths = copy.deepcopy(layer)
            paths.weight.data, paths.bias = (layer.weight != 0).to(layer.weight), None
            value = type(layer).forward(layer, args[0].masked_fill(unknown, 0))
            return value.masked_fill(type(layer).forward(paths, unknown.to(args[0])) > 0, torch.nan)

        return look

    for hook in (all_unknown, unknown_where_it_depends):
        with evaluation_mode(network), _hooked({layer: hook(name) for name, layer in layers.items()}):
            network(image)
    return {name: inputs for name, inputs in seen.items() if calls[id(layers[name].weight)] == 1}


def _following_norms(network: nn.Module, example: Tensor) -> dict[str, str]:
    """Return by layer the batch norm that alone reads what the layer puts out, channel by channel."""
    made: dict[str, object] = {}
    read: dict[object, list[str]] = {}

    def after_layer(name: str) -> Callable:
        def look(layer: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
            if output.dim() == layer.weight.dim():
                made[name] = output.grad_fn

        return look

    def after_norm(name: str) -> Callable:
        def look(_norm: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
            read.setdefault(args[0].grad_fn, []).append(name)

        return look

    hooks = {layer: after_layer(name) for name, layer in _layers(network).items()}
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            hooks[module] = after_norm(name)
    with evaluation_mode(network), torch.enable_grad(), _hooked(hooks):
        outputs = network(_random_images(example, 1).requires_grad_())
    uses = _uses(outputs.grad_fn)
    calls = Counter(name for names in read.values() for name in names)
    return {
        name: read[node][0]
        for name, node in made.items()
        if uses[node] == 1 and len(read.get(node, [])) == 1 and calls[read[node][0]] == 1
    }


def _uses(node: object) -> Counter:
    """Count by how many others each node of an autograd graph is used."""
    uses: Counter = Counter()
    waiting = [node]
    while waiting:
        for source, _ in waiting.pop().next_functions:
            if source is not None:
                uses[source] += 1
                if uses[source] == 1:
                    waiting.append(source)
    return uses


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | _ConvNd)}


def _random_images(example: Tensor, count: int) -> Tensor:
    """Normal images (count, C, H, W), the same at each call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *example.shape[1:], generator=generator, dtype=example.dtype)


@contextmanager
def _hooked(hooks: dict[nn.Module, Callable]) -> Iterator[None]:
    """Let each module call its hook after its forward pass, for a while."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
