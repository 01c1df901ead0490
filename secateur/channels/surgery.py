"""Removes channels for real, with all that is coupled to them, from any network that can be traced.

`secateur.channels.tracing` finds what is coupled: through residual additions, concatenations, norms, grouped and
depthwise convolutions, flattening, channels that are shuffled, divided or gated. Every tensor keeps its identity, what
belongs to a tensor (a mask, moments, an earlier state) is cut along with it, and the cuts are a list of names and
numbers that repeats them on a fresh network.

The law: a network without channels computes what it computes with them at zero. A group that breaks it is not offered,
and no removal that breaks it is made.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from secateur.channels.averages import average_over_all, average_over_left
from secateur.channels.coupling import Coupling, KeptIndices, Removal
from secateur.channels.folding import make_plain
from secateur.channels.groups import Group, layer_of
from secateur.channels.tracing import Operation, tensors_of
from secateur.pruning.layers import execution_order, inputs_first, outputs_first, prunable_layers
from secateur.utils.errors import UserError, one_line
from secateur.utils.modes import evaluation_mode, in_float64
from secateur.utils.seeds import seeded_generator

__all__ = ["Held", "KeptIndices", "Removal", "Surgery", "replay", "zero_channels"]

#: How far apart outputs may be of a network whose channels are zero and of one that has lost them, relative to the
#: largest: in float64, and in what the network is in where it does not run in that.
TOLERANCE, ROUGHLY = 1e-6, 1e-4
#: How many numbers of a tensor are looked at to say how large they are.
SOME = 4096
#: What torch raises on a network, or a list of channels, that it cannot deal with.
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


@dataclass(frozen=True)
class Held:
    """Outputs of a layer that cannot be removed."""

    #: How many, and of how many.
    outputs: int
    of: int
    reason: str

    def __str__(self) -> str:
        return f"{self.outputs} of {self.of}: {self.reason}"


class Surgery:
    """The channels of a network, as they are coupled.

    Parameters: `network`; `example`, an image (1, C, H, W) on its device, for tracing; `roots`, layers of
    groups that are known to work, which they still do after a cut; `ignored`, layers whose outputs stay. Channels that
    cannot go are in no group, and `fixed` says why. Raises `UserError` where the network cannot be run.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        roots: Container[str] | None = None,
        ignored: Iterable[str] = (),
    ) -> None:
        self.network = network
        self.example = example
        try:
            self._coupling = Coupling(network, example, ignored)
        except CANNOT as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(f"no channels can be removed from a network that does not run ({reason})") from error
        found = self._coupling.groups(roots or ())
        self.groups = {group.root: group for group in found if roots is None or group.root in roots}
        broken = {}
        if roots is None:
            probes = {group.root: _probe(group, number) for number, group in enumerate(found)}
            tried = [(root, self._channels(root, units)) for root, units in probes.items() if units]
            broken = self.breaches(tried, roughly=True)
            self.groups = {root: group for root, group in self.groups.items() if root not in broken}
        self._broken = {name: broken.get(group.root, "") for group in found for name, _, _ in group.outputs}

    @property
    def fixed(self) -> dict[str, Held]:
        """The layers, but the last, that have outputs which cannot be removed."""
        layers = prunable_layers(self.network)
        order = list(dict.fromkeys(execution_order(self.network, self.example)))
        free: dict[str, set[int]] = {}
        for group in self.groups.values():
            if len(group.units) > 1:
                for name, own, _ in group.outputs:
                    free.setdefault(name, set()).update(own.tolist())
        fixed = {}
        for name in [*order[:-1], *(name for name in layers if name not in order)]:
            there = outputs_first(layers[name]).shape[0]
            going = len(free.get(name, ()))
            if going < there and there > 1:
                reason = self._why(name) if name in order else "the network does not use the layer in evaluation mode"
                fixed[name] = Held(there - going, there, reason)
        return fixed

    def _why(self, name: str) -> str:
        """Why outputs of a layer stay: the most frequent reason."""
        if self._broken.get(name):
            return self._broken[name]
        reasons = Counter(self._coupling.reasons(name))
        return reasons.most_common(1)[0][0] if reasons else "they can only go all together"

    def _channels(self, root: str, units: list[int]) -> list[int]:
        return sorted(self.groups[root].units[units].flatten().tolist())

    def remove(self, cuts: Iterable[Removal], network: nn.Module | None = None) -> KeptIndices:
        """Remove channels in place, from the network or a copy of it.

        Returns what is left of each tensor that has become smaller. Parameters stay the same objects, with other data.
        """
        return self._coupling.cut(network or self.network, cuts)

    def uses(self, layer: str) -> list[Operation]:
        """The operations that use a layer's weight, whose `outputs` are those that read what they put out."""
        return self._coupling.uses.get(layer, [])

    def breaches(self, removals: Iterable[Removal], roughly: bool = False) -> dict[str, str]:
        """Return which removals would break the law, by root, each with how; all others keep it together.

        Copies of the network are tried on two random images, in evaluation mode; `roughly` in the precision that it
        has, and exactly where that tells a difference.
        """
        broken: dict[str, str] = {}
        lawful: list[Removal] = []

        def add(some: list[Removal]) -> None:
            breach = self._breach(lawful + some, roughly)
            if breach is None:
                lawful.extend(some)
            elif len(some) == 1:
                broken[some[0][0]] = breach
            else:
                add(some[: len(some) // 2])
                add(some[len(some) // 2 :])

        if removals := list(removals):
            add(removals)
        return broken

    def _breach(self, removals: list[Removal], roughly: bool) -> str | None:
        only = self.example.device.type == "mps"  # which has no other precision
        if roughly or only:
            rough = self._try(removals, exact=False)
            if rough is None or only:
                return rough
        try:
            return self._try(removals, exact=True)
        except CANNOT:  # it makes numbers of another precision itself
            return self._try(removals, exact=False)

    @torch.no_grad()
    def _try(self, removals: list[Removal], exact: bool) -> str | None:
        """How far the outputs are from what they are with zeros, or why there are none; None where the law holds."""
        generator = seeded_generator(0, "surgery")
        network, image = copy.deepcopy(self.network), self.example
        if image.is_floating_point():
            image = torch.rand((2, *image.shape[1:]), generator=generator).to(image)
        _vary(network, generator)
        for root, channels in removals:
            zero_channels(network, self.groups[root], torch.tensor(channels))
        expected = computed(network, image, exact)
        average_over_all(network)
        try:
            self._coupling.cut(network, removals, indices=False)
            found = computed(network, image, exact)
        except CANNOT as error:
            return f"the network does not run without some of them ({type(error).__name__}: {one_line(error)})"
        difference = relative_difference(found, expected)
        if difference <= (TOLERANCE if exact else ROUGHLY):
            return None
        return f"without some of them the outputs are {difference:.1e} off what they are with zeros"


def _probe(group: Group, number: int) -> list[int]:
    """Choose units to try: of one group two, of the next three, as what counts channels may count on equal numbers.

    At most a third of them, so that what is left still depends on the image.
    """
    last = len(group.units) - 1
    tried = max(1, min(2 + number % 2, len(group.units) // 3))
    return group.removable(dict.fromkeys((0, last, (last + 1) // 2)[:tried]))


def computed(network: nn.Module, images: Tensor, exact: bool) -> object:
    """What a network computes of images (N, C, H, W) in evaluation mode, where it is `exact` in float64."""

    def run(called: nn.Module) -> object:
        with evaluation_mode(called):
            return called(images.double() if exact and images.is_floating_point() else images)

    return in_float64(run, network) if exact else run(network)


def relative_difference(found: object, expected: object) -> float:
    """The largest difference of two outputs of a network, relative to the largest number that is expected."""
    pairs = list(zip(tree_flatten(found)[0], tree_flatten(expected)[0], strict=True))
    pairs = [(one, other) for one, other in pairs if isinstance(other, Tensor)]
    if any(one.shape != other.shape for one, other in pairs):
        return math.inf
    same = [torch.where((one == other) | (one.isnan() & other.isnan()), 0, (one - other).abs()) for one, other in pairs]
    largest = max((float(other.abs().nan_to_num(0, 0).max()) for _, other in pairs), default=0) or 1.0
    return max((float(difference.nan_to_num(math.inf).max()) for difference in same), default=0) / largest


def replay(network: nn.Module, example: Tensor, history: Iterable[Iterable[Removal]]) -> None:
    """Repeat all cuts of a `history` on a network that is as it was before the first of them.

    What is named without channels is a whole block. Where the layers of a cut are not there it is made of plain layers
    first, see `secateur.channels.folding`. Raises `ValueError` where a layer or a channel is not there then.
    """
    for step in history:
        cuts = [(root, channels) for root, channels in step if channels]
        if {layer_of(root) for root, _ in cuts} - prunable_layers(network).keys():
            make_plain(network)
        try:
            take_out(network, [block for block, channels in step if not channels])
            if cuts:
                Coupling(network, example).cut(network, cuts)
        except CANNOT as error:
            raise ValueError(f"{type(error).__name__}: {one_line(error)}") from error


def take_out(network: nn.Module, blocks: Iterable[str]) -> None:
    """Put modules that hand on what they read in the place of blocks. Raises `AttributeError` where there is none."""
    for name in blocks:
        network.get_submodule(name)
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, nn.Identity())


@torch.no_grad()
def zero_channels(network: nn.Module, group: Group, channels: Tensor) -> None:
    """Let channels of a group be nothing, which is what removing them means.

    They are zero behind their layers, norms and scales, and what reads them takes them times zero: an activation may
    make another number of zero, as a sigmoid does.
    """
    modules, tensors = dict(network.named_modules()), dict(tensors_of(network))
    for (name, dim), own, root in group.averages:
        average_over_left(modules[name], dim, own[torch.isin(root, channels)])
    for name, own, root in (*group.outputs, *group.norms):
        rows = own[torch.isin(root, channels)]
        module = modules[name]
        if module.weight is not None:
            outputs_first(module)[rows] = 0
        if module.bias is not None:
            module.bias[rows] = 0
    for name, own, root in group.inputs:
        if getattr(modules[name], "groups", 1) == 1:
            inputs_first(modules[name])[own[torch.isin(root, channels)]] = 0
    for (name, dim), own, root in group.others:
        tensors[name].index_fill_(dim, own[torch.isin(root, channels)].to(tensors[name].device), 0)


@torch.no_grad()
def _vary(network: nn.Module, generator: torch.Generator) -> None:
    """Let no number hide what is behind it.

    Each tensor whose numbers are all equal, as norms and scales are at first, is drawn anew from [0.5, 1.5): a scale
    near zero hides a layer, and neutral norms cannot tell one channel from another. Small weights become as large as
    keeps what they read, on average: attention of small numbers is a mean, whatever it is scaled by.
    """
    for _, tensor in tensors_of(network):
        if not tensor.numel():
            continue
        some = tensor.flatten()[:SOME]
        if bool((some == some[0]).all()) and bool((tensor == some[0]).all()):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.dim() > 1 and (deviation := float(some.std())):
            tensor.mul_(max(1.0, tensor[0].numel() ** -0.5 / deviation))
