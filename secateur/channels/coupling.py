"""Which channels of a network go together, and their removal from all tensors that count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from secateur.channels.groups import Group, Members, find_groups
from secateur.channels.labels import NONE
from secateur.channels.scales import factors, scaled
from secateur.channels.sizes import set_attribute
from secateur.channels.tracing import COUNTING, Operation, tensors_of, trace
from secateur.pruning.layers import COMPUTED, IGNORED, prunable_layers

#: (layer, channels): these outputs of the layer are removed, and what is coupled to them.
Removal = tuple[str, list[int]]
NOTHING = torch.tensor([], dtype=torch.long)


class KeptIndices(dict[str, Tensor]):
    """By a tensor's name in the state_dict: where each number that stays was in the flattened tensor, in its new shape.

    `scales` says by the name of a parameter what it was multiplied by before that, (C,) along its first dimension.
    """

    scales: Mapping[str, Tensor] = MappingProxyType({})


class Coupling:
    """The channels of a network in classes, each of which goes or stays as a whole.

    The outputs of layers that are `ignored` stay. Raises what the network raises where it cannot be run on `example`.
    """

    def __init__(self, network: nn.Module, example: Tensor, ignored: Iterable[str] = ()) -> None:
        traced = trace(network, example)
        self._classes = traced.labels.classes()
        #: Why a class stays, by its number.
        self.held = self._classes.held
        #: By the name of a module with a weight: the operations that use it.
        self.uses: dict[str, list[Operation]] = traced.uses

        def numbers(of: dict) -> dict:
            return {name: self._classes.of(labels) for name, labels in of.items()}

        self._tensors = {name: [*map(self._classes.of, axes)] for name, axes in traced.tensors.items()}
        self._reads, self.makes, self._counts = numbers(traced.reads), numbers(traced.makes), numbers(traced.counts)
        self._averages, self._picks = numbers(traced.averages), numbers(traced.picks)
        self._scaled = [
            (self._classes.of(labels), makers)
            for labels, makers in zip(traced.scaled, traced.makers, strict=True)
            if labels is not None
        ]
        layers, self._members = prunable_layers(network), Members(self._classes)
        for name, labels in self.makes.items():
            if name in layers:
                self._members.outputs[name] = labels
            elif not _shares(network.get_submodule(name), layers):
                self._hold(labels, COMPUTED)
        for name in ignored:
            self._hold(self.makes.get(name, NOTHING), IGNORED)
        self._sort(network)

    def _hold(self, numbers: Tensor, reason: str) -> None:
        self.held |= dict.fromkeys(self._classes.parts_of(numbers).unique().tolist(), reason)

    def _sort(self, network: nn.Module) -> None:
        """Say which classes each norm, each reader and each other tensor has."""
        counted = set()
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear | _ConvNd):
                counted |= {f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")}
                # What a depthwise convolution reads are its own outputs.
                if name in self._reads and not 1 < getattr(module, "groups", 1) == getattr(module, "in_channels", 0):
                    self._members.inputs[name] = self._reads[name]
            elif isinstance(module, _NormBase | nn.GroupNorm) and name in self._reads:
                counted |= {f"{name}.{own}".lstrip(".") for own in ("weight", "bias", "running_mean", "running_var")}
                self._members.norms[name] = self._reads[name]
        self._members.averages = self._averages
        for name, axes in self._tensors.items():
            if name not in counted:
                self._members.others |= {(name, dim): labels for dim, labels in enumerate(axes)}

    def groups(self, known: Iterable[str] = ()) -> list[Group]:
        """Return the groups of the classes that can go; `known` are layers to number channels by where that can be."""
        free = torch.ones(self._classes.count, dtype=torch.bool)
        free[[number for number in self.held if number >= 0]] = False
        groups, held = find_groups(self._members, free, set(known))
        self.held |= held
        return groups

    def reasons(self, name: str) -> list[str]:
        """Why outputs of a layer stay, one for each."""
        parts = self._classes.parts_of(self.makes.get(name, NOTHING)).flatten().tolist()
        return [self.held[number] for number in parts if number in self.held and number != NONE]

    def cut(self, network: nn.Module, cuts: Iterable[Removal], indices: bool = True) -> KeptIndices:
        """Remove channels from the network that was traced, or a copy of it, in place.

        Returns what is left of each tensor of the state_dict that has become smaller, empty without `indices`.
        Parameters stay the same objects, with other data. Raises `IndexError` where a channel is not there, or cannot
        go, or would be a layer's last.
        """
        gone = torch.zeros(self._classes.count, dtype=torch.bool)
        for root, channels in cuts:
            own = self._members.outputs_of(root)
            if own is None or not channels or len({*range(len(own))} & {*channels}) < len(channels):
                there = "which there is not" if own is None else f"which has {len(own)}"
                raise IndexError(
                    f"channels {min(channels, default=0)} to {max(channels, default=0)} of {root}, {there}"
                )
            numbers = own[channels]
            if stays := [number for number in numbers.tolist() if number in self.held or number == NONE]:
                raise IndexError(f"channels of {root} stay: {self.held.get(stays[0], 'they meet constants')}")
            gone[numbers] = True
        gone = self._classes.gone(gone)
        tensors, kept_in_state, changed = dict(tensors_of(network)), network.state_dict().keys(), KeptIndices()
        kept = {name: [_staying(labels, gone) for labels in axes] for name, axes in self._tensors.items()}
        for name, _ in network.named_parameters():  # of buffers, as the zeros of a shortcut, all may go
            axes = zip(kept.get(name, ()), self._tensors.get(name, ()), strict=True)
            if any(len(left) == 0 < len(labels) for left, labels in axes):
                raise IndexError(f"the last channels of {name} would go")
        changed.scales = scales = factors(
            (len(labels), len(_staying(labels, gone)), makers) for labels, makers in self._scaled
        )
        for name, axes in kept.items():
            tensor = tensors[name]
            tensor.grad = None
            if name in scales:
                tensor.data = scaled(tensor.data, scales[name]).detach()
            if all(len(left) == size for left, size in zip(axes, tensor.shape, strict=True)):
                continue
            if name in kept_in_state:
                numbers = torch.int32 if tensor.numel() < 2**31 else torch.int64
                places = torch.arange(tensor.numel() if indices else 0, dtype=numbers)
                places = _taken(places.view(tensor.shape), axes) if indices else places
                changed[name] = places.to(tensor.device)
            left = _taken(tensor.data, [left.to(tensor.device) for left in axes])
            if tensor.requires_grad:
                # Where a graph of the last step is alive, what collects the gradient knows the old shape: torch makes
                # it anew where the type changes.
                tensor.data = torch.empty(0, dtype=torch.float32 if tensor.dtype == torch.float64 else torch.float64)
            tensor.data = left
        for name, module in network.named_modules():
            # A weight that is computed would be computed once more, which a spectral norm remembers.
            if isinstance(module, COUNTING) and "weight" in module._parameters:
                over_last = isinstance(module, nn.LayerNorm | nn.RMSNorm)
                read = self._averages.get((name, -1)) if over_last else self._reads.get(name)
                _count(module, None if read is None else len(_staying(read, gone)))
        for name, numbers in self._picks.items():
            _renumber(network.get_buffer(name), _staying(numbers, gone), len(numbers))
        for attribute, numbers in self._counts.items():
            set_attribute(network.get_submodule(attribute[0]), attribute, len(_staying(numbers, gone)))
        return changed


def _shares(module: nn.Module, layers: dict[str, nn.Module]) -> bool:
    return any(module.weight is layer.weight for layer in layers.values())


def _taken(tensor: Tensor, axes: list[Tensor]) -> Tensor:
    """What is left of a tensor when of each dimension these indices stay."""
    for dim, left in enumerate(axes):
        if len(left) < tensor.shape[dim]:
            tensor = tensor.index_select(dim, left)
    return tensor


def _staying(labels: Tensor, gone: Tensor) -> Tensor:
    return ((labels == NONE) | ~gone[labels]).nonzero().flatten()


def _renumber(numbers: Tensor, left: Tensor, before: int) -> None:
    """Let numbers of channels be what they are once of so many channels these are left."""
    places = torch.full((before,), NONE)
    places[left] = torch.arange(len(left))
    places = places[numbers.cpu()]
    numbers.data = places[places != NONE].to(numbers.device)


def _count(module: nn.Module, inputs: int | None) -> None:
    """Let a module's attributes say what its tensors say; `inputs` are left of the channels that it reads, if known."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _ConvNd):
        inputs = module.in_channels if inputs is None else inputs
        if module.transposed:
            module.groups = module.groups if module.groups < module.in_channels else inputs
            module.in_channels, module.out_channels = inputs, module.weight.shape[1] * module.groups
        else:
            module.groups = inputs // module.weight.shape[1]
            module.in_channels, module.out_channels = inputs, module.weight.shape[0]
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        if inputs is not None and len(module.normalized_shape) == 1:
            module.normalized_shape = (inputs,)
    elif inputs is not None and isinstance(module, nn.GroupNorm):
        module.num_groups = inputs if module.num_groups == module.num_channels else module.num_groups
        module.num_channels = inputs
    elif inputs is not None:
        module.num_features = inputs
