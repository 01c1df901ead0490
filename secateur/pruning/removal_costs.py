"""What it costs the layers that read channels when these go, one after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secateur.channels.groups import Group
from secateur.pruning.layer_inputs import as_matrix, exact, input_statistics
from secateur.pruning.layers import outputs_first

#: The inputs of a layer with more columns are held to be independent: a square of so many numbers takes 0.5 GB.
MOST_COLUMNS = 8192


class Reader:
    """A layer that reads channels, of one group, as y = W x, with the second moments H of x on `inputs` (B, ...).

    `damping` times the mean of H's diagonal is added to it. In float64.
    """

    def __init__(self, name: str, layer: nn.Module, inputs: Tensor, damping: float) -> None:
        #: W, (R, F): F columns are the places of the kernel one after another, `width` inputs at each.
        self.weight = exact(as_matrix(layer)[0]).cpu()
        self.width = outputs_first(layer).shape[1]
        wide = self.weight.shape[1] > MOST_COLUMNS
        found = input_statistics(name, layer, inputs, moments=not wide)
        #: H^-1, (F, F), or of a wide layer its diagonal (F,) alone; and E|y|^2.
        self.inverse = (1 / (found.square + found.added(damping)) if wide else found.inverse(damping))[0].cpu()
        products = self.weight * found.square[0].cpu() if wide else self.weight @ found.moments[0].cpu()
        energy = (products * self.weight).sum()
        self.energy = energy.clamp(min=torch.finfo(energy.dtype).tiny)


class Remover:
    """Takes one unit of channels after another from a reader, whose other weights make up for it.

    Parameters: `units` (K,), the number of the unit that each of the `inputs` (K,) of the reader is of.
    """

    def __init__(self, reader: Reader, units: Tensor, inputs: Tensor, count: int) -> None:
        self.weight, self.inverse, self.energy = reader.weight.clone(), reader.inverse.clone(), reader.energy
        places = torch.arange(0, self.weight.shape[1], reader.width)
        order = units.argsort(stable=True)
        sizes = units.bincount(minlength=count)
        columns = (inputs[order][:, None] + places).split(sizes.tolist())
        #: The columns of each unit (N, S), and whether they are any.
        self.columns = nn.utils.rnn.pad_sequence([own.flatten() for own in columns], batch_first=True)
        self.there = torch.arange(self.columns.shape[1]) < len(places) * sizes[:, None]

    def costs(self, units: Tensor) -> Tensor:
        """What the outputs change by, relative to their size, if one of these units went, (N,)."""
        columns, there = self.columns[units], self.there[units]
        weight = self.weight[:, columns].permute(1, 2, 0) * there[..., None]  # (N, S, R)
        if self.inverse.dim() == 1:
            return (weight.square() / self.inverse[columns][..., None]).sum((1, 2)) / self.energy
        blocks = self.inverse[columns[:, :, None], columns[:, None]] * (there[:, :, None] & there[:, None])
        blocks += torch.diag_embed((~there).to(blocks))
        halves = torch.linalg.solve_triangular(torch.linalg.cholesky(blocks), weight, upper=False)
        return halves.square().sum((1, 2)) / self.energy

    def remove(self, unit: int) -> None:
        """Let a unit go."""
        own = self.columns[unit][self.there[unit]]
        if self.inverse.dim() == 1 or not len(own):
            return
        rows = self.inverse[own]
        solved = torch.cholesky_solve(rows, torch.linalg.cholesky(rows[:, own]))
        self.weight -= self.weight[:, own] @ solved
        self.inverse -= rows.T @ solved


def removal_costs(group: Group, readers: dict[str, Reader]) -> Tensor:
    """Return what it costs when each of a group's channels goes, (C,), the cheapest unit first.

    Costs of several readers add up, the channels of a unit share theirs, and none is less than one before it. Those of
    units that none of the readers reads are infinite.
    """
    numbers = group.unit_numbers
    removers = [
        Remover(readers[name], numbers[ours], own, len(group.units))
        for name, own, ours in group.inputs
        if name in readers
    ]
    read = sum((remover.there.any(1) for remover in removers), torch.zeros(len(group.units), dtype=torch.bool))
    left, most = read.nonzero().flatten(), 0.0
    costs = torch.full((len(group.units),), torch.inf, dtype=torch.float64)
    while len(left):
        found = sum(remover.costs(left) for remover in removers)
        place = int(found.argmin())
        unit = int(left[place])
        most = max(most, float(found[place]))
        costs[unit] = most / group.units.shape[1]
        for remover in removers:
            remover.remove(unit)
        left = left[left != unit]
    return costs.new_full((group.channels,), torch.inf).index_put((group.units,), costs[:, None])
