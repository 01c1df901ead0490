"""Follows the channels of a network through every operation of one forward pass.

Each index of each dimension of a parameter or buffer has a label. Operations hand labels on, couple those that meet,
and hold those that they mix; `secateur.channels.operations` knows how. What an operation does that is not known there
holds all that it touches. Whether a tensor needs gradients makes no difference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from secateur.channels.labels import MEET, NONE, OUTPUTS, Labels
from secateur.channels.operations import follow, give_up, operation_name
from secateur.channels.scales import Makers, makers_of_queries
from secateur.channels.sizes import SCALED, Attribute, Sizes, attributes_counted
from secateur.utils.modes import evaluation_mode

#: The labels along each dimension of a tensor; None where channels are not counted there.
Axes = tuple[Tensor | None, ...]
#: Modules that count the channels of what they read.
COUNTING = (nn.Linear, _ConvNd, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(eq=False)
class Operation:
    """An operation that depends on the image: its name in ATen, the module whose weight it uses, what reads it."""

    name: str
    module: str | None
    outputs: list[Operation] = field(default_factory=list)

    def __deepcopy__(self, memo: dict[int, Any]) -> Operation:
        """Return itself: after tracing nothing changes it, and a chain of readers is deeper than Python copies."""
        return self


class Trace(TorchDispatchMode):
    """The labels of all tensors while the network runs, and what is known afterwards."""

    #: False: nothing is compiled here, and torch would import its compiler to be told so, which takes seconds.
    _should_skip_dynamo = staticmethod(bool)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.labels = Labels()
        #: By the name of a parameter or buffer.
        self.tensors: dict[str, Axes] = {}
        #: By the name of a module that counts channels: the labels of the channels that it reads.
        self.reads: dict[str, Tensor] = {}
        #: By the name of a Linear layer or a convolution: the labels of its outputs.
        self.makes: dict[str, Tensor] = {}
        #: By the name of a module with a weight: the operations that use it.
        self.uses: dict[str, list[Operation]] = {}
        #: By the name of a module that takes statistics over a dimension, which is counted from the last: its labels.
        self.averages: dict[tuple[str, int], Tensor] = {}
        #: What attributes of modules count.
        self.counts: dict[Attribute, Tensor] = {}
        #: The labels of the width of queries that attention is scaled by, and what would scale them, of each in turn.
        self.scaled: list[Tensor | None] = []
        self.makers: list[Makers] = []
        #: By the name of a buffer of numbers by which channels are picked: the labels that it picks from.
        self.picks: dict[str, Tensor] = {}
        #: By the id of a convolution's weight: the labels of the channels that it reads.
        self.image_channels: dict[int, Tensor | None] = {}
        #: The sizes of what a tensor is about to be seen as, if the network gives them.
        self.sizes: list[int] | None = None
        #: Whether the sizes follow that a tensor is about to be cut in.
        self.cuts_follow = False
        #: By the name of a module without others in it: how many numbers each of its parameters has.
        self.own_sizes = {
            name: {parameter.numel() for parameter in module.parameters(recurse=False)}
            for name, module in network.named_modules()
            if not any(True for _ in module.children())
        }
        #: The modules that are running, the innermost last.
        self.running: list[str] = []
        # Tensors are kept, so that no other gets their id.
        self._axes: dict[int, tuple[Tensor, Axes]] = {}
        self._owner: dict[int, str] = {}
        self._made_by: dict[int, Operation] = {}
        #: By the id of a buffer of numbers: its name.
        self.numbers = {id(buffer): name for name, buffer in numbers_of(network)}
        #: The ids of tensors that an operation has read.
        self._used: set[int] = set()
        for name, tensor in tensors_of(network):
            self.tensors[name] = tuple(self.labels.new(size) for size in tensor.shape)
            self.set(tensor, self.tensors[name])
            self._owner[id(tensor)] = name.rpartition(".")[0]

    def axes(self, tensor: Tensor) -> Axes | None:
        """The labels of a tensor; None for one that depends neither on the image nor on the network's tensors."""
        known = self._axes.get(id(tensor))
        return known[1] if known else None

    def set(self, tensor: Tensor, axes: Axes) -> None:
        """Label a tensor."""
        # Of their own: what an operation has left of labels may be a view of as many numbers as a weight has.
        self._axes[id(tensor)] = (tensor, tuple(labels if labels is None else labels.clone() for labels in axes))

    def known(self, tensor: Tensor | None) -> Axes:
        """The labels of a tensor, or that there are none."""
        return (None,) if tensor is None else self.axes(tensor) or (None,) * tensor.dim()

    def hold(self, tensor: Tensor, dims: Iterable[int], reason: str) -> None:
        """Let all that is counted along some dimensions of a tensor stay."""
        axes = self.known(tensor)
        for dim in dims:
            if axes[dim] is not None:
                self.labels.hold(axes[dim], reason)

    def couple(self, labels: Tensor | None, others: Tensor | None, reason: str = MEET) -> Tensor | None:
        """Let two dimensions meet, number by number; returns the labels along both."""
        if labels is None or others is None:
            left = others if labels is None else labels
            if left is not None:
                self.labels.hold(left, reason)
            return left
        self.labels.couple(labels, others, reason)
        return torch.where(labels == NONE, others, labels)

    def count(self, attribute: Attribute, labels: Tensor) -> None:
        """Note that an attribute is the number of these labels."""
        if attribute in self.counts:
            self.labels.count_alike(self.counts[attribute], labels)
        self.counts.setdefault(attribute, labels)

    def average(self, source: Tensor, dim: int, reason: str) -> None:
        """Note that the module that runs takes statistics over a dimension of a tensor."""
        labels = self.known(source)[dim]
        if labels is None:
            return
        key = (self.running[-1] if self.running else "", dim % source.dim() - source.dim())
        if (labels == NONE).any() or (key in self.averages and len(self.averages[key]) != len(labels)):
            self.labels.hold(labels, reason)
        elif key in self.averages:
            self.labels.couple(self.averages[key], labels, reason)
        else:
            self.averages[key] = labels

    def is_norm_of(self, number: int) -> bool:
        """Whether the module that runs has no others in it, and a parameter for each of so many channels."""
        return bool(self.running) and number in self.own_sizes.get(self.running[-1], ())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and follow what it does."""
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        inputs = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        made = [value for value in tree_flatten(outputs)[0] if isinstance(value, Tensor)]
        if any(id(tensor) in self._axes for tensor in inputs):
            self._used.update(map(id, inputs))
            try:
                follow(self, func, args, kwargs, inputs, outputs)
            except (RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError):
                give_up(self, func, inputs, made)  # a form of it that nobody has thought of
            self._connect(func, inputs, made)
        return outputs

    def _connect(self, func: Any, inputs: list[Tensor], made: list[Tensor]) -> None:
        owners = [self._owner[id(tensor)] for tensor in inputs if id(tensor) in self._owner]
        sources = [self._made_by[id(tensor)] for tensor in inputs if id(tensor) in self._made_by]
        if not sources:  # it depends on the network's tensors alone
            self._owner |= {id(tensor): owner for owner in owners[:1] for tensor in made}
            return
        operation = Operation(operation_name(func), owners[0] if owners else None)
        for source in dict.fromkeys(sources):
            source.outputs.append(operation)
        if owners:
            self.uses.setdefault(owners[0], []).append(operation)
        self._made_by |= {id(tensor): operation for tensor in made}

    def _leave(self, _module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        self.running.pop()

    def _read(self, name: str, tensor: Tensor) -> None:
        """Note which channels a norm reads."""
        axes = self.axes(tensor)
        labels = axes[1] if axes and len(axes) > 1 else None
        if labels is not None and name in self.reads:
            self.labels.couple(self.reads[name], labels, "a norm that is used twice reads them beside others")
        if labels is not None:
            self.reads.setdefault(name, labels)

    def read_weights(self, network: nn.Module) -> None:
        """Note which channels Linear layers and convolutions read and put out, by the weights that were used."""
        for name, module in network.named_modules():
            axes = self.axes(module.weight) if isinstance(module, nn.Linear | _ConvNd) else None
            if axes is None or not (id(module.weight) in self._used or self._owner.get(id(module.weight)) in self.uses):
                continue
            groups, (outputs, inputs) = getattr(module, "groups", 1), axes[:2]
            if groups > 1:
                inputs = self.image_channels.get(id(module.weight))  # None where they are the image's
            if getattr(module, "transposed", False):
                each = module.out_channels // groups
                alone = 1 < groups == module.in_channels
                outputs = axes[0].repeat_interleave(each) if alone else axes[1].repeat(groups)
                inputs = axes[0] if groups == 1 else inputs
            self.makes[name] = outputs
            if inputs is not None:
                self.reads[name] = inputs

    def scale(self, network: nn.Module, example: Tensor) -> None:
        """Find what would scale queries once they are narrower; where that is not found their width stays."""
        if self.scaled:
            try:
                self.makers = makers_of_queries(network, example)
            except RuntimeError:  # it takes no gradients
                self.makers = []
        if len(self.makers) < len(self.scaled):
            self.makers = [{}] * len(self.scaled)
        for labels, makers in zip(self.scaled, self.makers, strict=True):
            if labels is not None and not makers:
                self.labels.hold(labels, SCALED)

    @contextlib.contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """Note what the modules of a network read and put out, while it runs."""
        handles = []
        for name, module in network.named_modules():
            enter = lambda _module, _inputs, name=name: self.running.append(name)  # noqa: E731
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
            if isinstance(module, _NormBase | nn.GroupNorm):
                look = lambda _module, inputs, name=name: self._read(name, inputs[0]) if inputs else None  # noqa: E731
                handles.append(module.register_forward_pre_hook(look))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@torch.no_grad()
def trace(network: nn.Module, example: Tensor) -> Trace:
    """Follow the channels of a network while it runs on `example`, an image (1, C, H, W), in evaluation mode."""
    found = Trace(network)
    found.set(example, (None,) * example.dim())
    found._made_by[id(example)] = Operation("image", None)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole block, which nobody can see into
    try:
        with (
            evaluation_mode(network),
            found.watching(network),
            attributes_counted(network),
            Sizes(found) as sizes,
            found,
        ):
            outputs = network(example)
            found.read_weights(network)
        sizes.hold_scaled()
        found.scale(network, example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    for output in tree_flatten(outputs)[0]:
        for labels in (isinstance(output, Tensor) and found.axes(output)) or ():
            if labels is not None:
                found.labels.hold(labels, OUTPUTS)
    return found


def numbers_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers of whole numbers that are in no state, so that none brings back what they were before a removal."""
    for name, module in network.named_modules():
        for own, buffer in module.named_buffers(recurse=False):
            if own in module._non_persistent_buffers_set and buffer.dtype == torch.int64 and buffer.dim() == 1:
                yield f"{name}.{own}".lstrip("."), buffer


def tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and floating-point buffers that channels are counted in, by name."""
    yield from network.named_parameters()
    yield from ((name, buffer) for name, buffer in network.named_buffers() if buffer.is_floating_point())
