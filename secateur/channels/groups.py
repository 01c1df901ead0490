"""Channels that can only go together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
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
    #: The operations that the channels go through; those of repeated blocks are alike.
    kind: tuple[type, ...]

    @property
    def channels(self) -> int:
        """How many channels there are, as the root counts."""
        return self.units.numel()

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


def once(entries: list[tuple[str, Tensor, Tensor]]) -> list[tuple[str, Tensor, Tensor]]:
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
