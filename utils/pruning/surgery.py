"""Removes channels for real, with all that is coupled to them, from any network that can be traced.

torch-pruning's dependency graph (Fang et al., 2023, "DepGraph") finds what is coupled: through residual additions,
concatenations, norms, grouped and depthwise convolutions, flattening. This module adds what a laboratory needs: every
tensor keeps its identity, what belongs to a tensor (a mask, moments, an earlier state) is cut along with it, and the
cuts are a list of names and numbers that repeats them on a fresh network.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from utils.modes import evaluation_mode
from utils.pruning.layers import execution_order

#: (layer, channels): these outputs of the layer are removed, and what is coupled to them.
Cut = tuple[str, list[int]]
#: By the tensor's name in the state_dict: where each number that stays was in the flattened tensor, in its new shape.
Cuts = dict[str, Tensor]

#: How far apart outputs may be of a network whose channels are zero and of one that has lost them, relative.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Group:
    """Output channels that can only go together: those of one layer, and of all layers that it is coupled with.

    A layer after a residual addition is coupled with all that add to it, for instance.
    """

    #: The layer that the channels are numbered by.
    root: str
    #: (N, M): a row is what must go together, one channel of each group of a grouped convolution, else M is 1.
    units: Tensor
    #: The layers whose outputs go, with their outputs (C,) and the root's channels (C,) that those belong to.
    outputs: list[tuple[str, Tensor, Tensor]]
    #: The norms whose channels go, likewise.
    norms: list[tuple[str, Tensor, Tensor]]
    #: The modules that read the channels, with their inputs, likewise.
    inputs: list[tuple[str, Tensor, Tensor]]

    @property
    def channels(self) -> int:
        """How many channels there are, as the root counts."""
        return self.units.numel()

    @property
    def nodes_per_unit(self) -> float:
        """How many outputs of layers go with one unit."""
        return sum(len(outputs) for _, outputs, _ in self.outputs) / len(self.units)


class Surgery:
    """The channels of a network, as they are coupled.

    Parameters: `network`; `example`, an image (1, C, H, W) on its device, for tracing. The channels that the network's
    inputs and outputs consist of are in no group, nor are those whose removal torch-pruning cannot trace: their layers
    are in `fixed`.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network = network
        self.example = example
        self._names = {module: name for name, module in network.named_modules()}
        order = execution_order(network, example)
        self._graph = _graph(network, example)
        found = [self._described(group) for group in self._graph.get_all_groups()]
        free = [group for group in found if group and all(name != order[-1] for name, _, _ in group.outputs)]
        self.groups = {group.root: group for group in self._that_work(free)}
        in_groups = {name for group in self.groups.values() for name, _, _ in group.outputs}
        #: Layers, but the last, whose outputs cannot be removed.
        self.fixed = [name for name in dict.fromkeys(order[:-1]) if name not in in_groups]

    def remove(self, cuts: Iterable[Cut]) -> Cuts:
        """Remove channels from the network in place; returns what is left of each tensor that has become smaller.

        Parameters stay the same objects, with other data.
        """
        return cut(self.network, self._graph, cuts)

    def node(self, layer: str) -> Any:
        """The layer's node in torch-pruning's graph, whose `outputs` are the nodes of what reads the layer."""
        return self._graph.module2node[self.network.get_submodule(layer)]

    def _described(self, found: Any) -> Group | None:
        root = self._names.get(found[0].dep.target.module)
        outputs, norms, inputs, sets = [], [], [], 1
        for item in found:
            module, name = item.dep.target.module, self._names.get(item.dep.target.module)
            out = self._graph.is_out_channel_pruning_fn(item.dep.handler)
            if isinstance(module, nn.MultiheadAttention):
                return None  # its heads are not single channels
            if isinstance(module, _ConvNd) and 1 < module.groups < module.out_channels:
                sets = max(sets, module.groups)
            if isinstance(module, nn.GroupNorm):
                sets = max(sets, module.num_groups)
            entry = (name, torch.tensor(item.idxs), torch.tensor(item.root_idxs))
            if isinstance(module, nn.Linear | _ConvNd) and out:
                outputs.append(entry)
            elif isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm):
                norms.append(entry)
            elif name is not None and not out:
                inputs.append(entry)
        channels = len(found[0].idxs)
        if channels % sets:
            return None
        return Group(root, torch.arange(channels).view(sets, -1).T, _once(outputs), _once(norms), _once(inputs))

    def _that_work(self, groups: list[Group]) -> list[Group]:
        """Leave out the groups whose removal changes more than the zeroing of their channels does.

        The graph does not see through everything that a network may do with numbers of channels.
        """
        cuttable = [group for group in groups if len(group.units) > 1]
        if self._is_exact(cuttable):
            return groups
        return [group for group in groups if len(group.units) == 1 or self._is_exact([group])]

    def _is_exact(self, groups: list[Group]) -> bool:
        zeroed, removed = copy.deepcopy(self.network), copy.deepcopy(self.network)
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                graph = _graph(removed, self.example)
                cuts = [(group.root, group.units[0].tolist()) for group in groups]
                for group in groups:
                    zero_channels(zeroed, group, group.units[0])
                cut(removed, graph, cuts)
                inputs = torch.rand_like(self.example.expand(2, *self.example.shape[1:]))
                with evaluation_mode(zeroed), evaluation_mode(removed):
                    expected, found = zeroed(inputs), removed(inputs)
            return bool(torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max())))
        except (RuntimeError, ValueError, IndexError, KeyError, AttributeError, TypeError, AssertionError):
            return False  # it cannot even be run


def replay(network: nn.Module, example: Tensor, history: Iterable[Iterable[Cut]]) -> None:
    """Repeat all cuts of a `history` on a network that is as it was before the first of them."""
    for cuts in history:
        cut(network, _graph(network, example), cuts)


def cut(network: nn.Module, graph: Any, cuts: Iterable[Cut]) -> Cuts:
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
        pruner = graph.get_pruner_of_module(layer)
        graph.get_pruning_group(layer, pruner.prune_out_channels, list(channels)).prune(record_history=False)
    changed = {}
    for name, left in list(_tensors(network)):
        own = tensors[name]
        places = left.data.round().long()
        own.data = before[name].flatten()[places.flatten()].view(places.shape)
        _put(network, name, own)
        if places.shape != before[name].shape:
            changed[name] = places
    return changed


@torch.no_grad()
def zero_channels(network: nn.Module, group: Group, channels: Tensor) -> None:
    """Set channels of a group to zero behind the norms, which is what removing them means."""
    modules = dict(network.named_modules())
    for name, own, root in (*group.outputs, *group.norms):
        rows = own[torch.isin(root, channels)]
        module = modules[name]
        weight = module.weight
        if getattr(module, "transposed", False):
            _outputs_of_transposed(module)[rows] = 0
        elif weight is not None:
            weight[rows] = 0
        if module.bias is not None:
            module.bias[rows] = 0


def _outputs_of_transposed(layer: nn.Module) -> Tensor:
    """The weight of a transposed convolution without groups, outputs first."""
    return layer.weight.transpose(0, 1)


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


def _once(entries: list[tuple[str, Tensor, Tensor]]) -> list[tuple[str, Tensor, Tensor]]:
    """Leave out what stands there twice, as the root does."""
    kept: dict[str, tuple[str, Tensor, Tensor]] = {}
    for name, own, root in entries:
        if name not in kept:
            kept[name] = (name, own, root)
        elif not torch.equal(kept[name][1], own):
            merged = dict(zip(kept[name][1].tolist(), kept[name][2].tolist(), strict=True))
            merged |= dict(zip(own.tolist(), root.tolist(), strict=True))
            kept[name] = (name, torch.tensor(list(merged)), torch.tensor(list(merged.values())))
    return list(kept.values())
