"""Which runs are compared with which: pairs of one seed, and blocks of one seed, sparsity and data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from secateur.reports.groups import DENSE, Group, Mean, mean

#: What a scope of several networks and data sets is called.
ALL = "all networks and data"
#: (panel, target, seed)
Block = tuple[str, str, str]


def by_seed(group: Group) -> dict[str, float]:
    """The accuracy of each seed of a group, a fraction; of runs that repeat one seed it is the mean."""
    values: dict[str, list[float]] = {}
    for run in group.runs:
        if run.accuracy is not None and 0 <= run.accuracy <= 1:
            values.setdefault(str(run.settings.get("seed")), []).append(run.accuracy)
    return {seed: fmean(found) for seed, found in sorted(values.items())}


def accuracy_of(group: Group) -> Mean | None:
    """The mean accuracy over the seeds of a group, a fraction."""
    return mean(by_seed(group).values())


def is_dense(group: Group) -> bool:
    """Whether nothing is pruned in a group."""
    return group.line.partition(", ")[0] == DENSE or group.target == "1x"


def dense_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """The dense network that a group is to be compared with: trained as it was, as far as the line's name says.

    Where a panel has no run of the criterion that prunes nothing, it is the line's own point at compression 1.
    """
    parts = set(group.line.split(", "))
    own = [one for one in groups if one.panel == group.panel and is_dense(one) and not one.control]
    plain = [one for one in own if set(one.line.split(", ")[1:]) <= parts and one.line.partition(", ")[0] == DENSE]
    return next(iter([*plain, *(one for one in own if one.line == group.line)]), None)


def difference(group: Group, other: Group) -> Mean | None:
    """The mean of accuracy minus that of another group, in [-1, 1], over the seeds that both have."""
    ours, theirs = by_seed(group), by_seed(other)
    return mean(ours[seed] - theirs[seed] for seed in ours if seed in theirs)


@dataclass(frozen=True)
class Scope:
    """The blocks of one network and data set, or of all of them."""

    name: str
    #: The accuracies of each block, by method.
    blocks: dict[Block, dict[str, float]]

    @property
    def methods(self) -> list[str]:
        """Every method that has run in a block."""
        return sorted({name for values in self.blocks.values() for name in values}, key=str.lower)

    def pairs(self, one: str, other: str) -> list[float]:
        """The accuracy of one method minus that of another, in each block that has both."""
        return [values[one] - values[other] for values in self.blocks.values() if {one, other} <= values.keys()]

    def complete(self) -> tuple[list[str], list[Block]]:
        """Methods and blocks without a gap.

        While a run is missing, the method or the block goes that misses the largest fraction of the others; where they
        miss the same, the block, the last one first.
        """
        methods, blocks = self.methods, list(self.blocks)
        while any(name not in self.blocks[block] for block in blocks for name in methods):
            of_methods = [sum(name not in self.blocks[block] for block in blocks) / len(blocks) for name in methods]
            of_blocks = [sum(name not in self.blocks[block] for name in methods) / len(methods) for block in blocks]
            if max(of_methods) > max(of_blocks):
                methods.pop(_last_largest(of_methods))
            else:
                blocks.pop(_last_largest(of_blocks))
        return methods, blocks


def scopes(groups: Sequence[Group]) -> list[Scope]:
    """A scope for each panel in which something is pruned by several methods, and where several are, one for all."""
    blocks: dict[Block, dict[str, float]] = {}
    for one in groups:
        if not is_dense(one):
            for seed, accuracy in by_seed(one).items():
                blocks.setdefault((one.panel, one.target, seed), {})[one.line] = accuracy
    compared = {block: values for block, values in blocks.items() if len(values) > 1}
    panels = dict.fromkeys(panel for panel, *_ in compared)
    found = [
        Scope(panel, {block: values for block, values in compared.items() if block[0] == panel}) for panel in panels
    ]
    return [Scope(ALL, compared), *found] if len(found) > 1 else found


def _last_largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda place: (values[place], place))
