"""Finds what each layer of a network reads: which channels are constant, and what a constant adds to its outputs."""

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

from secateur.pruning.layers import outputs_first
from secateur.utils.modes import evaluation_mode, in_float64

#: How far apart sums of the same numbers may be in float64, relative, when they are taken in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Reader:
    """A layer with O outputs that reads I channels."""

    name: str
    #: (O, I): the weights that are not zero and read what depends on the image, or what cannot be folded.
    needed: Tensor
    #: (C,) and (O, C): the inputs that are constant, by number, and what each adds to each output that can fold it.
    constant: Tensor
    added: Tensor
    #: The norm that takes the constants up, of a layer without bias.
    norm: str | None

    @torch.no_grad()
    def fold(self, network: nn.Module, inputs: Tensor) -> None:
        """Add what these inputs, a boolean for each (I,), contribute to the bias, or take it from the norm's mean."""
        shift = self.added[:, inputs[self.constant]].sum(1)
        if not shift.any():
            return
        layer = network.get_submodule(self.name)
        if layer.bias is not None:
            layer.bias += shift.to(layer.bias)
        else:
            mean = network.get_submodule(self.norm).running_mean
            mean -= shift.to(mean)


def connected(weight: Tensor) -> Tensor:
    """Which pairs of the first two dimensions have a weight that is not zero, boolean, of a weight with any kernel."""
    return (weight != 0).flatten(2).any(2) if weight.dim() > 2 else weight != 0


def readers_of(network: nn.Module, example: Tensor) -> dict[str, Reader]:
    """Describe each layer that is not grouped, by name; of one that is used twice, what it reads is never constant.

    It is computed in float64, in which rounding cannot be taken for a difference; the network and the example are on
    the CPU.
    """
    return in_float64(lambda exact: _readers(exact, example.double()), network)


def _readers(network: nn.Module, example: Tensor) -> dict[str, Reader]:
    constant = _constant_inputs(network, example)
    norms = _following_norms(network, example)
    readers = {}
    for name, layer in _layers(network).items():
        if getattr(layer, "groups", 1) > 1:
            continue
        weight = outputs_first(layer).detach()
        needed = connected(weight)
        known, added = torch.zeros(0, dtype=torch.int64), weight.new_zeros(len(weight), 0)
        if name in constant:
            can_fold = layer.bias is not None or name in norms
            contribution = _linear if isinstance(layer, nn.Linear) else _convolved
            known, added = contribution(layer, constant[name], needed, can_fold)
        readers[name] = Reader(name, needed, known, added, norms.get(name))
    return readers


def _linear(layer: nn.Linear, inputs: Tensor, needed: Tensor, can_fold: bool) -> tuple[Tensor, Tensor]:
    """Return which inputs (..., I), NaN where they are not constant, a linear layer can fold, and what they add.

    They are taken from what is `needed`.
    """
    inputs = inputs.flatten(0, -2)
    zero = (inputs == 0).all(0)
    needed[:, zero] = False
    known = (_steady(inputs.T) & ~zero & can_fold).nonzero().flatten()
    needed[:, known] = False
    return known, layer.weight.detach()[:, known] * inputs[0, known]


def _convolved(layer: _ConvNd, inputs: Tensor, needed: Tensor, can_fold: bool) -> tuple[Tensor, Tensor]:
    """Do for a convolution what `_linear` does, with inputs (1, I, ...)."""
    zero = (inputs[0].flatten(1) == 0).all(1)
    needed[:, zero] = False
    known = ~inputs[0].flatten(1).isnan().any(1) & needed.any(0) & (can_fold and not layer.transposed)
    known = known.nonzero().flatten()
    added = layer.weight.new_zeros(len(needed), len(known))
    for number, channel in enumerate(known.tolist()):
        own = slice(channel, channel + 1)
        # With its borders: whether the constant counts the same everywhere is seen, not derived.
        outputs = layer._conv_forward(inputs[:, own], layer.weight.detach()[:, own], None)[0].flatten(1)
        same = _steady(outputs)
        needed[same, channel] = False
        added[same, number] = outputs[same, 0]
    return known, added


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
            paths = copy.copy(layer)  # deep, it would copy the weight
            paths._parameters = layer._parameters | {"weight": (layer.weight != 0).to(layer.weight), "bias": None}
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
        outputs = network(random_images(example, 1).requires_grad_())
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


def random_images(example: Tensor, count: int) -> Tensor:
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
