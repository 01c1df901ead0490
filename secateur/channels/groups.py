"""Channels that can only go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Group:
    """Output channels that can only go together: those of one layer, and of all layers that it is coupled with.

    A layer after a residual addition is coupled with all that add to it, for instance.
    """

    #: The layer that the channels are numbered by.
    root: str
    #: How many outputs the root has; some may be in no unit, as they cannot go.
    channels: int
    #: (N, M): a row is what must go together, one channel of each group of a grouped convolution, else M is 1.
    units: Tensor
    #: The layers whose outputs go, with their outputs (C,) and the root's channels (C,) that those belong to.
    outputs: list[tuple[str, Tensor, Tensor]]
    #: The norms whose channels go, likewise.
    norms: list[tuple[str, Tensor, Tensor]]
    #: The modules that read the channels, with their inputs, likewise.
    inputs: list[tuple[str, Tensor, Tensor]]
    #: Parameters and buffers of no layer and no norm whose numbers go: as (name, dimension), likewise.
    others: list[tuple[tuple[str, int], Tensor, Tensor]] = field(default_factory=list)

    @property
    def nodes(self) -> Tensor:
        """How many outputs of layers go with each unit, (N,)."""
        return sum(self._losses().values())

    def removable(self, order: Iterable[int]) -> list[int]:
        """Leave out of units, which go in this order, those that are the last ones of a layer."""
        losses = [counts.tolist() for counts in self._losses().values()]
        left = [sum(counts) for counts in losses]
        going = []
        for unit in order:
            lost = [counts[unit] for counts in losses]
            if all(here == 0 or here < there for here, there in zip(lost, left, strict=True)):
                going.append(unit)
                left = [there - here for here, there in zip(lost, left, strict=True)]
        return going

    def _losses(self) -> dict[str, Tensor]:
        """How many outputs each layer loses with each unit, (N,).

        Where a depthwise convolution follows a concatenation, each unit is of one of the layers before that.
        """
        number = torch.empty(self.channels, dtype=torch.long)
        number[self.units] = torch.arange(len(self.units)).unsqueeze(1)
        return {name: number[root].bincount(minlength=len(self.units)) for name, _, root in self.outputs}


class Members:
    """Which classes of channels the indices of layers, norms, readers and other tensors belong to, each (C,)."""

    def __init__(self) -> None:
        self.outputs: dict[str, Tensor] = {}
        self.norms: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.others: dict[tuple[str, int], Tensor] = {}

    def group(self, root: str, classes: Sequence[int], size: int) -> Group:
        """Describe classes of which each has M channels of the root; `size` is the number of all classes."""
        own = self.outputs[root]
        row = torch.full((size,), -1)
        row[torch.tensor(classes)] = torch.arange(len(classes))
        unit = _units_of(own, row)
        units = unit.argsort(stable=True)[(unit < 0).sum() :].view(len(classes), -1)

        def entries(of: dict) -> list:
            found = [(name, *_numbered(vector, row, units)) for name, vector in of.items()]
            return [entry for entry in found if len(entry[1])]

        parts = [entries(of) for of in (self.outputs, self.norms, self.inputs, self.others)]
        return Group(root, len(own), units, *parts)


def _units_of(vector: Tensor, row: Tensor) -> Tensor:
    """The unit that each index of a vector of classes belongs to; -1 for none."""
    return row[vector].masked_fill(vector < 0, -1)


def _numbered(vector: Tensor, row: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of a vector of classes that belong to a unit, and the root's channels that they stand for."""
    unit = _units_of(vector, row)
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
    classes = {
        name: [number for number in dict.fromkeys(vector.tolist()) if number >= 0 and free[number]]
        for name, vector in members.outputs.items()
    }
    held: dict[int, str] = {}
    groups = []
    for names in reversed(_connected(classes)):
        left = {name: classes[name] for name in names}
        while any(left.values()):
            root = min(
                (name for name in reversed(names) if left[name]),
                key=lambda name: (name not in known, -len(left[name]), len(members.outputs[name])),
            )
            counts = Counter(members.outputs[root].tolist())
            sizes = Counter(counts[number] for number in left[root])
            usual = sizes.most_common(1)[0][0]
            taken = [number for number in left[root] if counts[number] == usual]
            odd = set(left[root]) - set(taken)
            held |= dict.fromkeys(odd, "unequal numbers of them are coupled")
            groups.append(members.group(root, taken, len(free)))
            gone = {*taken, *odd}
            left = {name: [number for number in numbers if number not in gone] for name, numbers in left.items()}
    return groups, held


def _connected(classes: dict[str, list[int]]) -> list[list[str]]:
    """Gather the layers that have classes in common, in the order of their first ones."""
    of_class: dict[int, str] = {}
    leader: dict[str, str] = {name: name for name in classes}

    def first(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, numbers in classes.items():
        for number in numbers:
            one, other = first(of_class.setdefault(number, name)), first(name)
            if one != other:
                leader[other] = one
    gathered: dict[str, list[str]] = {}
    for name in classes:
        gathered.setdefault(first(name), []).append(name)
    return list(gathered.values())
