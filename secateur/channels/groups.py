"""Channels that can only go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from secateur.channels.labels import Classes


@dataclass(frozen=True, eq=False)
class Group:
    """Output channels that can only go together: those of one layer, and of all layers that it is coupled with.

    A layer after a residual addition is coupled with all that add to it, for instance.
    """

    #: The layer that the channels are numbered by; where its outputs are divided, with a slash and the dimension,
    #: counted from the last: `layer/1` for heads, `layer/0` for what is in each of them.
    root: str
    #: How many outputs the root has; some may be in no unit, as they cannot go.
    channels: int
    #: (N, M): a row is what must go together, one channel of each group of a grouped convolution, else M is 1.
    units: Tensor
    #: The layers whose outputs go, with their outputs (C,) and the root's channels (C,) that those belong to.
    outputs: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)
    #: The norms whose channels go, likewise.
    norms: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)
    #: The modules that read the channels, with their inputs, likewise.
    inputs: list[tuple[str, Tensor, Tensor]] = field(default_factory=list)
    #: Parameters and buffers of no layer and no norm whose numbers go: as (name, dimension), likewise.
    others: list[tuple[tuple[str, int], Tensor, Tensor]] = field(default_factory=list)
    #: The modules that take statistics over the channels, and over what is left of them: as (name, dimension, counted
    #: from the last), likewise.
    averages: list[tuple[tuple[str, int], Tensor, Tensor]] = field(default_factory=list)

    @property
    def layer(self) -> str:
        """The name of the root's layer."""
        return layer_of(self.root)

    @property
    def divided(self) -> bool:
        """Whether outputs of the layer are in several groups."""
        return self.layer != self.root

    @property
    def heads(self) -> bool:
        """Whether they are heads, which are divided themselves."""
        return self.divided and not self.root.endswith("/0")

    @property
    def unit_numbers(self) -> Tensor:
        """The number of the unit that each of the root's channels is in, (C,); what is coupled to them is in one."""
        numbers = torch.full((self.channels,), -1)
        numbers[self.units] = torch.arange(len(self.units)).unsqueeze(1)
        return numbers

    @property
    def nodes(self) -> Tensor:
        """How many outputs of layers go with each unit, (N,)."""
        return sum(self._losses(self.outputs).values())

    def removable(self, order: Iterable[int], least: int = 1) -> list[int]:
        """Leave out of units, which go in this order, those that are the last `least` ones of a layer.

        A layer that reads some of the channels keeps one of them: it may read nothing else.
        """
        made, read = (list(self._losses(of).values()) for of in (self.outputs, self.inputs))
        leasts = [least] * len(made) + [1] * len(read)
        losses = [counts.tolist() for counts in made + read]
        left = [sum(counts) for counts in losses]
        going = []
        for unit in order:
            lost = [counts[unit] for counts in losses]
            if all(here == 0 or there - here >= few for here, there, few in zip(lost, left, leasts, strict=True)):
                going.append(unit)
                left = [there - here for here, there in zip(lost, left, strict=True)]
        return going

    def _losses(self, members: list[tuple[str, Tensor, Tensor]]) -> dict[str, Tensor]:
        """How many outputs, or inputs, each layer loses with each unit, (N,).

        Where a depthwise convolution follows a concatenation, each unit is of one of the layers before that.
        """
        numbers = self.unit_numbers
        return {name: numbers[root].bincount(minlength=len(self.units)) for name, _, root in members}


class Outputs:
    """Outputs of layers that go with units; one that goes with several is counted once."""

    def __init__(self) -> None:
        self._gone: dict[str, set[int]] = {}

    def more(self, group: Group, unit: int) -> int:
        """How many more outputs go with a unit."""
        return sum(len(of_layer - self._gone.get(name, set())) for name, of_layer in _lost(group, [unit]))

    def add(self, group: Group, units: list[int]) -> int:
        """Let those of units go; returns how many more they are."""
        number = 0
        for name, of_layer in _lost(group, units):
            gone = self._gone.setdefault(name, set())
            number += len(of_layer - gone)
            gone |= of_layer
        return number


def _lost(group: Group, units: list[int]) -> Iterator[tuple[str, set[int]]]:
    channels = group.units[units].flatten()
    yield from ((name, set(own[torch.isin(root, channels)].tolist())) for name, own, root in group.outputs)


def outputs_of(groups: Iterable[Group]) -> Counter[str]:
    """How many outputs of each layer are in groups, in several of them or not."""
    found: dict[str, list[Tensor]] = {}
    for group in groups:
        for name, own, _ in group.outputs:
            found.setdefault(name, []).append(own)
    return Counter({name: len(torch.cat(own).unique()) for name, own in found.items()})


def shape_of(network: nn.Module, group: Group) -> tuple:
    """What groups have in common that are alike: the kinds of the modules that a channel runs through, their kernels,
    and what it is to each of them; how many channels there are does not count."""
    kinds = []
    for role in ("outputs", "norms", "inputs", "averages"):
        for name in {name if isinstance(name, str) else name[0] for name, _, _ in getattr(group, role)}:
            module = network.get_submodule(name)
            weight = getattr(module, "weight", None)
            depthwise = getattr(module, "groups", 1) > 1
            kinds.append((role, type(module).__name__, () if weight is None else tuple(weight.shape[2:]), depthwise))
    return group.divided, *sorted(kinds)


def overlapping(groups: dict[str, Group]) -> list[list[str]]:
    """Gather the roots of groups that have outputs in common, as heads have with what is in each of them."""
    divided = {root: group for root, group in groups.items() if group.divided}
    gathered = _connected({root: [name for name, _, _ in group.outputs] for root, group in divided.items()})
    of_root = {root: roots for roots in gathered for root in roots}
    found = [of_root.get(root, [root]) for root in groups]
    return [roots for number, roots in enumerate(found) if roots not in found[:number]]


def layer_of(root: str) -> str:
    """The layer of a group's root."""
    layer, slash, dimension = root.rpartition("/")
    return layer if slash and dimension.isdigit() else root


class Members:
    """Which classes of channels the indices of layers, norms, readers and other tensors belong to, each (C,)."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self.outputs: dict[str, Tensor] = {}
        self.norms: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.others: dict[tuple[str, int], Tensor] = {}
        self.averages: dict[tuple[str, int], Tensor] = {}

    def outputs_of(self, root: str) -> Tensor | None:
        """The classes (C,) of a root's outputs; None where there is none."""
        layer = layer_of(root)
        if layer not in self.outputs:
            return None
        rows = self._rows(layer)
        row = int(root.rpartition("/")[2]) if layer != root else 0
        return rows[row] if row < len(rows) and (len(rows) > 1) == (layer != root) else None

    def roots(self) -> dict[str, Tensor]:
        """The classes of the outputs of each root that there could be."""
        found = {}
        for name in self.outputs:
            rows = self._rows(name)
            found |= {f"{name}/{number}": row for number, row in enumerate(rows)} if len(rows) > 1 else {name: rows[0]}
        return found

    def _rows(self, layer: str) -> Tensor:
        """The classes of a layer's outputs along each dimension, the last first: others may come to be of one place."""
        return self._classes.parts_of(self.outputs[layer]).flip(0)

    def groups(self, chosen: list[tuple[str, list[int]]]) -> list[Group]:
        """Describe a group for each root with some classes, of which each has M channels of it."""
        owner, row = torch.full((2, self._classes.count), -1)
        for number, (_, classes) in enumerate(chosen):
            owner[classes], row[classes] = number, torch.arange(len(classes))
        groups = []
        for root, classes in chosen:
            own = self.outputs_of(root)
            unit = torch.where(owner[own] == len(groups), row[own], -1).masked_fill(own < 0, -1)
            units = unit.argsort(stable=True)[(unit < 0).sum() :].view(len(classes), -1)
            groups.append(Group(root, len(own), units))
        for kind in ("outputs", "norms", "inputs", "others", "averages"):
            for name, vector in getattr(self, kind).items():
                parts = self._classes.parts_of(vector)
                owners = owner[parts].masked_fill(parts < 0, -1)
                for number in owners.unique().tolist():
                    if number >= 0:
                        unit = torch.where(owners == number, row[parts], -1).amax(0)
                        getattr(groups[number], kind).append((name, *_numbered(unit, groups[number].units)))
        return groups


def _numbered(unit: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices that belong to a unit, of each its unit, and the root's channels that they stand for."""
    own = (unit >= 0).nonzero().flatten()
    unit = unit[own]
    if units.shape[1] == 1:
        return own, units[unit, 0]
    # The members of a unit stand one behind the other: the first of them for its first channel, and so on.
    there = unit.bincount(minlength=len(units))
    order = unit.argsort(stable=True)
    place = torch.empty_like(unit)
    starts = there.cumsum(0) - there
    place[order] = torch.arange(len(unit)) - starts[unit[order]]
    return own, units[unit, place * units.shape[1] // there[unit]]


def find_groups(members: Members, free: Tensor, known: Container[str] = ()) -> tuple[list[Group], dict[int, str]]:
    """Return the groups of all classes that are `free`, a boolean for each, and why others are left out.

    The root is the layer that most of the classes have channels of, with the fewest channels, the last of several; of
    layers that are `known` as roots, if one is there.
    """
    there = free.tolist()
    classes = {
        name: [number for number in dict.fromkeys(vector.tolist()) if number >= 0 and there[number]]
        for name, vector in members.roots().items()
    }
    widths = {name: len(members.outputs[layer_of(name)]) for name in classes}
    held: dict[int, str] = {}
    chosen = []
    for names in reversed(_connected(classes)):
        left = {name: classes[name] for name in names}
        while any(left.values()):
            root = min(
                (name for name in reversed(names) if left[name]),
                key=lambda name: (name not in known, -len(left[name]), widths[name]),
            )
            counts = Counter(members.outputs_of(root).tolist())
            sizes = Counter(counts[number] for number in left[root])
            usual = sizes.most_common(1)[0][0]
            taken = [number for number in left[root] if counts[number] == usual]
            odd = set(left[root]) - set(taken)
            held |= dict.fromkeys(odd, "unequal numbers of them are coupled")
            chosen.append((root, taken))
            gone = {*taken, *odd}
            left = {name: [number for number in numbers if number not in gone] for name, numbers in left.items()}
    return members.groups(chosen), held


def _connected(classes: dict[str, list[Hashable]]) -> list[list[str]]:
    """Gather the layers that have classes in common, in the order of their first ones."""
    of_class: dict[Hashable, str] = {}
    leader: dict[str, str] = {name: name for name in classes}

    def first(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, numbers in classes.items():
        for before in dict.fromkeys([of_class.setdefault(number, name) for number in numbers]):
            one, other = first(before), first(name)
            if one != other:
                leader[other] = one
    gathered: dict[str, list[str]] = {}
    for name in classes:
        gathered.setdefault(first(name), []).append(name)
    return list(gathered.values())
