"""Removes channels for real, with all that is coupled to them, from any network that can be traced.

torch-pruning's dependency graph (Fang et al., 2023, "DepGraph") finds what is coupled: through residual additions,
concatenations, norms, grouped and depthwise convolutions, flattening. This module adds what a laboratory needs: every
tensor keeps its identity, what belongs to a tensor (a mask, moments, an earlier state) is cut along with it, and the
cuts are a list of names and numbers that repeats them on a fresh network.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Iterable
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from secateur.channels.groups import Group, once
from secateur.pruning.layers import execution_order, outputs_first
from secateur.utils.errors import UserError, one_line
from secateur.utils.modes import evaluation_mode
from secateur.utils.seeds import seeded_generator

#: (layer, channels): these outputs of the layer are removed, and what is coupled to them.
Removal = tuple[str, list[int]]
#: By the tensor's name in the state_dict: where each number that stays was in the flattened tensor, in its new shape.
KeptIndices = dict[str, Tensor]

#: How far apart outputs may be of a network whose channels are zero and of one that has lost them, relative.
TOLERANCE = 1e-4
#: What torch-pruning and torch raise on a network, or a list of channels, that they cannot deal with.
CANNOT = (
    RuntimeError,
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
    TypeError,
    AssertionError,
    ArithmeticError,
)


class Surgery:
    """The channels of a network, as they are coupled.

    Parameters: `network`; `example`, an image (1, C, H, W) on its device, for tracing; `roots`, those of the groups
    that are known to work, which they still do after a cut. The channels that the network's inputs and outputs consist
    of are in no group, nor are those whose removal torch-pruning cannot trace: their layers are in `fixed`. Raises
    `UserError` where the network cannot be traced at all.
    """

    def __init__(self, network: nn.Module, example: Tensor, roots: Container[str] | None = None) -> None:
        self.network = network
        self.example = example
        self._names = {module: name for name, module in network.named_modules()}
        order = execution_order(network, example)
        try:
            self._graph = _graph(network, example)
        except CANNOT as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(
                f"no channels of this network can be removed: torch-pruning cannot trace it ({reason})"
            ) from error
        found = [self._described(group) for group in self._graph.get_all_groups()]
        free = [group for group in found if group and all(name != order[-1] for name, _, _ in group.outputs)]
        free = self._that_work(free) if roots is None else [group for group in free if group.root in roots]
        self.groups = {group.root: group for group in free}
        in_groups = {name for group in self.groups.values() for name, _, _ in group.outputs}
        #: Layers, but the last, whose outputs cannot be removed.
        self.fixed = [name for name in dict.fromkeys(order[:-1]) if name not in in_groups]

    def remove(self, cuts: Iterable[Removal]) -> KeptIndices:
        """Remove channels from the network in place; returns what is left of each tensor that has become smaller.

        Parameters stay the same objects, with other data.
        """
        return cut(self.network, self._graph, cuts)

    def node(self, layer: str) -> Any:
        """The layer's node in torch-pruning's graph, whose `outputs` are the nodes of what reads the layer."""
        return self._graph.module2node[self.network.get_submodule(layer)]

    def _described(self, found: Any) -> Group | None:
        root = self._names.get(found[0].dep.target.module)
        outputs, norms, inputs, kind, sets = [], [], [], [], 1
        for item in found:
            module, name = item.dep.target.module, self._names.get(item.dep.target.module)
            kind.append(type(module))
            out = self._graph.is_out_channel_pruning_fn(item.dep.handler)
            if isinstance(module, nn.MultiheadAttention):
                return None  # its heads are not single channels
            if isinstance(module, nn.LayerNorm):
                return None  # the mean over the channels is not the same without some
            if isinstance(module, _ConvNd) and 1 < module.groups < module.out_channels:
                sets = max(sets, module.groups)
            if isinstance(module, nn.GroupNorm):
                sets = max(sets, module.num_groups)
            entry = (name, torch.tensor(item.idxs), torch.tensor(item.root_idxs))
            if isinstance(module, nn.Linear | _ConvNd) and out:
                outputs.append(entry)
            elif isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm):
                norms.append(entry)
            elif name is not None and not out:
                inputs.append(entry)
        channels = len(found[0].idxs)
        if channels % sets:
            return None
        units = torch.arange(channels).view(sets, -1).T
        return Group(root, units, once(outputs), once(norms), once(inputs), tuple(kind))

    def _that_work(self, groups: list[Group]) -> list[Group]:
        """Leave out the groups whose removal changes more than the zeroing of their channels does.

        The graph does not see through everything that a network may do with numbers of channels. Groups of one kind and
        one shape are those of repeated blocks: where the first of them does not work, none is tried further.
        """
        if self._is_exact(groups):
            return groups
        kinds: dict[Any, list[Group]] = {}
        for group in groups:
            kinds.setdefault((group.kind, self._shapes(group)), []).append(group)
        working = []
        for alike in kinds.values():
            if self._is_exact(alike):
                working += alike
            elif len(alike) > 1 and self._is_exact(alike[:1]):
                working += alike[:1] + [group for group in alike[1:] if self._is_exact([group])]
        return [group for group in groups if group in working]

    def _shapes(self, group: Group) -> tuple[torch.Size | None, ...]:
        """The shapes of the weights that lose channels with a group."""
        modules = [self.network.get_submodule(name) for name, *_ in (*group.outputs, *group.norms, *group.inputs)]
        return tuple(module.weight.shape if getattr(module, "weight", None) is not None else None for module in modules)

    def _is_exact(self, groups: list[Group]) -> bool:
        cuts = []
        for group in groups:
            number = len(group.units)
            if units := group.removable(dict.fromkeys((0, number // 2, number - 1))):
                cuts.append((group, group.units[units].flatten()))
        if not cuts:
            return True
        zeroed = copy.deepcopy(self.network)
        generator = seeded_generator(0, "surgery")
        _vary(zeroed, generator)
        removed = copy.deepcopy(zeroed)
        inputs = torch.rand((2, *self.example.shape[1:]), generator=generator).to(self.example)
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                graph = _graph(removed, self.example)
                cut(removed, graph, [(group.root, channels.tolist()) for group, channels in cuts])
                for group, channels in cuts:
                    zero_channels(zeroed, group, channels)
                with evaluation_mode(zeroed), evaluation_mode(removed):
                    expected, found = zeroed(inputs), removed(inputs)
            return bool(torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max())))
        except CANNOT:
            return False  # it cannot even be run


def replay(network: nn.Module, example: Tensor, history: Iterable[Iterable[Removal]]) -> None:
    """Repeat all cuts of a `history` on a network that is as it was before the first of them.

    Raises `ValueError` where a layer or a channel is not there.
    """
    for cuts in history:
        try:
            cut(network, _graph(network, example), cuts)
        except CANNOT as error:
            raise ValueError(f"{type(error).__name__}: {one_line(error)}") from error


def cut(network: nn.Module, graph: Any, cuts: Iterable[Removal]) -> KeptIndices:
    """Remove channels; see `Surgery.remove`."""
    tensors = dict(_tensors(network))
    before = {name: tensor.data for name, tensor in tensors.items()}
    # Numbers that say where they came from take the place of the weights; what is left of them tells what to keep.
    for tensor in tensors.values():
        tensor.grad = None
        tensor.data = torch.arange(tensor.numel(), dtype=torch.float64, device=tensor.device).view(tensor.shape)
    modules = dict(network.named_modules())
    for root, channels in cuts:
        layer = modules[root]
        # torch-pruning would take other channels for what they are not.
        there = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        if len(channels) >= there or len({*range(there)} & {*channels}) < len(channels):
            raise IndexError(f"channels {min(channels)} to {max(channels)} of {root}, which has {there}")
        pruner = graph.get_pruner_of_module(layer)
        graph.get_pruning_group(layer, pruner.prune_out_channels, list(channels)).prune(record_history=False)
    changed = {}
    for name, left in list(_tensors(network)):
        own = tensors[name]
        if left.shape == before[name].shape:
            own.data = before[name]
        else:
            changed[name] = places = left.data.round().long()
            own.data = before[name].flatten()[places.flatten()].view(places.shape)
        _put(network, name, own)
    return changed


@torch.no_grad()
def zero_channels(network: nn.Module, group: Group, channels: Tensor) -> None:
    """Set channels of a group to zero behind the norms, which is what removing them means."""
    modules = dict(network.named_modules())
    for name, own, root in (*group.outputs, *group.norms):
        rows = own[torch.isin(root, channels)]
        module = modules[name]
        if module.weight is not None:
            outputs_first(module)[rows] = 0
        if module.bias is not None:
            module.bias[rows] = 0


@torch.no_grad()
def _vary(network: nn.Module, generator: torch.Generator) -> None:
    """Draw anew, from [0.5, 1.5), each tensor whose numbers are all equal, as norms and scales are at first.

    A scale near zero would hide what is behind it, and neutral norms cannot tell one channel from another.
    """
    for _, tensor in _tensors(network):
        if tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)


def _graph(network: nn.Module, example: Tensor) -> Any:
    with evaluation_mode(network), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # In a list: else it would first be tried as an image without a batch, which flows through other operations.
        return torch_pruning.DependencyGraph().build_dependency(network, [example], verbose=False)


def _tensors(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters and floating-point buffers that channels are counted in, by name."""
    yield from network.named_parameters()
    yield from ((name, buffer) for name, buffer in network.named_buffers() if buffer.is_floating_point())


def _put(network: nn.Module, name: str, tensor: Tensor) -> None:
    """Make `tensor` the parameter or buffer of that name."""
    owner, _, attribute = name.rpartition(".")
    module = network.get_submodule(owner)
    table = module._parameters if attribute in module._parameters else module._buffers
    table[attribute] = tensor
