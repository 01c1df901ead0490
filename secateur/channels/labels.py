"""Labels for the channels that tensors are counted in, and which of them can only go together."""

from __future__ import annotations

import torch
from torch import Tensor

#: In the place of a label: a number that belongs to no channel that could go, as a constant does.
NONE = -1
#: How often what a label is composed of may be composed itself.
DEPTH = 5
#: Why labels stay, or go together.
MEET = "they meet the image, or constants, channel by channel"
PICKED = "the network takes them by their number"
CUT = "the network divides them at a fixed place"
OUTPUTS = "they are the network's outputs"
COUNTED = "the network counts one by the other"


class Labels:
    """Labels 0, 1, 2, ...; those that are coupled form a class, and a class with a held label stays.

    A label may be composed of others: where 12 channels are seen as 3 heads of 4, each of them goes with its head, and
    with its place in all heads. Composed ones go with any of their parts, and not by themselves.
    """

    def __init__(self) -> None:
        self.count = 0
        #: Labels (n,) that go with others (n,), or stay where those are `NONE`, for a reason: in the order of telling.
        self._told: list[tuple[Tensor, Tensor, str]] = []
        #: Labels (n,), and the parts (k, n) that they are composed of.
        self._composed: list[tuple[Tensor, Tensor]] = []
        #: Labels of dimensions that have to be of one size.
        self._equal: list[tuple[Tensor, Tensor]] = []

    def new(self, number: int) -> Tensor:
        """Return labels (number,) that nothing has yet."""
        self.count += number
        return torch.arange(self.count - number, self.count)

    def couple(self, labels: Tensor, others: Tensor, reason: str) -> None:
        """Let labels (C,) go with others (C,), or stay, for this reason, where the others are `NONE`."""
        if labels is not others:
            self._told.append((labels, others, reason))

    def hold(self, labels: Tensor, reason: str) -> None:
        """Let labels stay."""
        self._told.append((labels, torch.full_like(labels, NONE), reason))

    def merge(self, parts: list[Tensor]) -> Tensor:
        """Return labels (n,) that are composed of those in the same place of each part, (n,)."""
        labels = self.new(len(parts[0]))
        self._composed.append((labels, torch.stack(parts)))
        return labels

    def split(self, labels: Tensor) -> list[Tensor]:
        """Return labels for each dimension of labels that differ, of any shape, which are composed of them."""
        if (known := self._known_parts(labels)) is not None:
            return known
        parts = [self.new(size) for size in labels.shape]
        self._composed.append((labels.flatten(), torch.stack([grid.flatten() for grid in _grid(parts)])))
        return parts

    def _known_parts(self, labels: Tensor) -> list[Tensor] | None:
        """The parts of labels that were merged, where they lie along these dimensions."""
        for merged, parts in self._composed:
            if torch.equal(merged, labels.flatten()) and len(parts) == labels.dim():
                rows = [
                    row.view(labels.shape).movedim(dim, 0).flatten(1)[:, 0].contiguous()
                    for dim, row in enumerate(parts)
                ]
                if all(torch.equal(grid.flatten(), row) for grid, row in zip(_grid(rows), parts, strict=True)):
                    return rows
        return None

    def count_alike(self, labels: Tensor, others: Tensor) -> None:
        """Let two dimensions keep equal sizes."""
        self._equal.append((labels, others))

    def classes(self) -> Classes:
        """Return what goes together, now that all is known."""
        while True:
            number = self._connected()
            if self._compose_alike(number) or (parts := self._parts(number)) is None:
                continue
            classes = Classes(number, parts)
            if not self._size_alike(classes):
                classes.hold(self._told)
                return classes

    def _connected(self) -> Tensor:
        """The class of each label, the smallest label in it, (count,)."""
        smallest = torch.arange(self.count)
        if not self._told:
            return smallest
        one, other = (torch.cat(ends) for ends in list(zip(*self._told, strict=True))[:2])
        differ = (one != other) & (one != NONE) & (other != NONE)
        one, other = one[differ], other[differ]
        while True:
            lower = torch.minimum(smallest[one], smallest[other])
            found = smallest.clone()
            # The roots of both ends are told, too, so that whole classes join at once.
            for ends in (one, other):
                found.scatter_reduce_(0, smallest[ends], lower, "amin").scatter_reduce_(0, ends, lower, "amin")
            found = found[found]
            if torch.equal(found, smallest):
                return smallest
            smallest = found

    def _compose_alike(self, number: Tensor) -> bool:
        """Couple the parts of labels of one class; whether any were not. Those with unequal numbers of parts stay."""
        found, first = False, torch.full((self.count,), NONE)
        for size in sorted({len(parts) for _, parts in self._composed}):
            alike = [(labels, parts) for labels, parts in self._composed if len(parts) == size]
            labels, parts = torch.cat([labels for labels, _ in alike]), torch.cat([parts for _, parts in alike], 1)
            own = number[labels]
            mixed = first[own] != NONE
            self.hold(labels[mixed], CUT)
            self.hold(parts[:, mixed].flatten(), CUT)
            own, parts = own[~mixed], parts[:, ~mixed]
            leader = torch.full((self.count,), NONE)
            leader[own] = first[own] = torch.arange(len(own))
            others = parts[:, leader[own]]
            differ = _numbers(number, parts) != _numbers(number, others)
            if differ.any():
                self.couple(parts[differ], others[differ], CUT)
                found |= bool(((parts != NONE) & (others != NONE) & differ).any())
        return found

    def _parts(self, number: Tensor) -> Tensor | None:
        """The classes that each class is composed of, (K, count), itself where it is not, and `NONE`.

        None where some are composed of themselves, which are composed no longer, and stay.
        """
        most = max((len(parts) for _, parts in self._composed), default=1)
        table = torch.full((most, self.count), NONE)
        table[0] = torch.arange(self.count)
        for labels, parts in self._composed:
            table[:, number[labels]] = NONE
            table[: len(parts), number[labels]] = _numbers(number, parts)
        found = table
        for _ in range(DEPTH):
            # Of each part its parts; rows without any are left out.
            rows = [_numbers(row, part) for part in found for row in table]
            deeper = torch.stack([row for row in rows if bool((row != NONE).any())])
            if deeper.shape == found.shape and torch.equal(deeper, found):
                return found
            found = deeper
        left = found[found != NONE].unique()
        tangled = left[(table[0, left] != left) | (table[1:, left] != NONE).any(0)]
        if not len(tangled):
            return found
        for labels, parts in self._composed:
            if torch.isin(number[labels], tangled).any():
                self.hold(torch.cat([labels, parts.flatten()]), CUT)
        self._composed = [entry for entry in self._composed if not torch.isin(number[entry[0]], tangled).any()]
        return None

    def _size_alike(self, classes: Classes) -> bool:
        """Couple dimensions that have to be of one size, unless they are so anyway; whether any were not."""
        found, left = False, []
        for labels, others in self._equal:
            if classes.size_of(labels) == classes.size_of(others):
                left.append((labels, others))
                continue
            found = True
            if len(labels) == len(others):
                self.couple(labels, others, COUNTED)
            else:
                self.hold(labels, COUNTED)
                self.hold(others, COUNTED)
        self._equal = left
        return found


class Classes:
    """Classes of labels, by number; those that others are composed of are theirs to go with."""

    def __init__(self, number: Tensor, parts: Tensor) -> None:
        self._number = number
        self.parts = parts
        #: Why a class stays, by its number.
        self.held: dict[int, str] = {}

    @property
    def count(self) -> int:
        """One more than the largest number."""
        return len(self._number)

    def of(self, labels: Tensor) -> Tensor:
        """The numbers of the classes of labels, `NONE` for none."""
        return _numbers(self._number, labels)

    def parts_of(self, numbers: Tensor) -> Tensor:
        """The classes (K, n) that classes (n,) are composed of, or are, as many rows as there have to be."""
        rows = self.parts[:, numbers].masked_fill(numbers == NONE, NONE)
        return rows[(rows != NONE).any(1)] if len(rows) > 1 else rows

    def gone(self, parts: Tensor) -> Tensor:
        """Which classes, a boolean for each, go with those that are gone and that nothing composes."""
        return (parts[self.parts] & (self.parts != NONE)).any(0)

    def size_of(self, labels: Tensor) -> tuple:
        """What the size of a dimension depends on: how many there are of which classes, and of their parts."""
        rows = self.parts_of(self.of(labels))
        if len(rows) == 1:
            return (len(labels), [sorted(rows[0].tolist())])
        return (len(labels), sorted(row.unique().tolist() for row in rows))

    def hold(self, told: list[tuple[Tensor, Tensor, str]]) -> None:
        """Let classes stay that have a label beside `NONE`, and their parts, each for the first reason."""
        if not told:
            return
        (one, other), number = (torch.cat(ends) for ends in list(zip(*told, strict=True))[:2]), len(told)
        entry = torch.arange(number).repeat_interleave(torch.tensor([len(labels) for labels, _, _ in told]))
        alone = torch.where(one == NONE, other, one).masked_fill((one != NONE) & (other != NONE), NONE)
        parts = self.parts[:, self._number[alone[alone != NONE]]]
        entry = entry[alone != NONE].expand(parts.shape)
        first = torch.full((self.count,), number).scatter_reduce_(0, parts[parts != NONE], entry[parts != NONE], "amin")
        held = (first < number).nonzero().flatten()
        self.held |= {where: told[which][2] for where, which in zip(held.tolist(), first[held].tolist(), strict=True)}


def _numbers(table: Tensor, labels: Tensor) -> Tensor:
    """What a table says of labels of any shape; `NONE` of none."""
    return table[labels].masked_fill(labels == NONE, NONE)


def _grid(parts: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.meshgrid(parts, indexing="ij")
