"""Labels for the channels that tensors are counted in, and which of them can only go together."""

from __future__ import annotations

import torch
from torch import Tensor

#: In the place of a label: a number that belongs to no channel that could go, as a constant does.
NONE = -1
#: Why labels stay, or go together.
MEET = "they meet the image, or constants, channel by channel"
PICKED = "the network takes them by their number"
CUT = "the network divides them at a fixed place"


class Labels:
    """Labels 0, 1, 2, ...; those that are coupled form a class, and a class with a held label stays."""

    def __init__(self) -> None:
        self.count = 0
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._held: list[tuple[Tensor, str]] = []

    def new(self, number: int) -> Tensor:
        """Return labels (number,) that nothing has yet."""
        self.count += number
        return torch.arange(self.count - number, self.count)

    def couple(self, labels: Tensor, others: Tensor, reason: str) -> None:
        """Let labels (C,) go with others (C,), or stay, for this reason, where the others are `NONE`."""
        self._held += [(labels[others == NONE], reason), (others[labels == NONE], reason)]
        differ = (labels != others) & (labels != NONE) & (others != NONE)
        self._pairs.append((labels[differ], others[differ]))

    def hold(self, labels: Tensor, reason: str) -> None:
        """Let labels stay."""
        self._held.append((labels, reason))

    def classes(self) -> Tensor:
        """Return the class of each label, the smallest label in it, (count,)."""
        smallest = torch.arange(self.count)
        if not self._pairs:
            return smallest
        one, other = (torch.cat(ends) for ends in zip(*self._pairs, strict=True))
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

    def held(self, classes: Tensor) -> dict[int, str]:
        """Return the classes that stay, with the first reason for each."""
        reasons: dict[int, str] = {}
        for labels, reason in self._held:
            for number in classes[labels[labels != NONE]].unique().tolist():
                reasons.setdefault(number, reason)
        return reasons
