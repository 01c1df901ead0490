"""Compares the groups of a report: with the dense network, with each other, and where each collapses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from secateur.reports.blocks import Scope, accuracy_of, dense_of, difference, is_dense, scopes
from secateur.reports.groups import Group, Mean, mean
from secateur.reports.inference import (
    LEVEL,
    Ranks,
    friedman,
    half_width,
    holm,
    paired_t,
    signed_rank,
    smallest_signed_rank,
)

#: What a test says that finds no difference.
ALIKE = "not distinguishable"


class Tested:
    """A difference in accuracy, and the corrected p of its test; None where there is none."""

    difference: Mean | None
    p: float | None

    @property
    def verdict(self) -> str:
        """What the corrected test says of the first that is compared."""
        return verdict(self.difference, self.p)


@dataclass(frozen=True)
class AgainstDense(Tested):
    """A group beside the dense network; accuracies are fractions."""

    group: Group
    accuracy: Mean
    #: The group's accuracy minus that of the dense network of the same seed; None where no seed has both.
    difference: Mean | None
    #: Of the t-test of these pairs, corrected by Holm among those of the panel; None where there is none.
    p: float | None


@dataclass(frozen=True)
class Control(Tested):
    """A group beside one of its controls, or the dense network; accuracies are fractions."""

    group: Group
    control: Group
    #: The group's accuracy minus that of the control of the same seed; None where no seed has both.
    difference: Mean | None
    #: Of the t-test of these pairs, corrected by Holm among the controls of the panel; beside the dense network as it
    #: is corrected among those. None where there is none.
    p: float | None


@dataclass(frozen=True)
class Pair:
    """Two methods over the blocks of a scope."""

    scope: Scope
    one: str
    other: str
    #: The accuracy of the first minus that of the second, over the blocks that have both.
    difference: Mean
    p: float
    #: Corrected by Holm among the pairs of the scope.
    corrected: float

    @property
    def verdict(self) -> str:
        """What the corrected test says."""
        return verdict(self.difference, self.corrected)


@dataclass(frozen=True)
class Ranking:
    """The methods of a scope, ranked over the blocks that have all of them."""

    scope: Scope
    ranks: Ranks | None
    #: What has no part in it, since runs are missing.
    left_out: list[str]


@dataclass(frozen=True)
class Collapse:
    """How far a line can be pruned. Accuracies are fractions."""

    panel: str
    line: str
    dense: Mean
    #: Halfway between the dense network and guessing.
    threshold: float
    #: The points of the line, the least pruned first.
    points: list[Group]

    @cached_property
    def first_below(self) -> int | None:
        """The number of the first point whose mean accuracy is below the threshold; None where none is."""
        means = (accuracy_of(one) for one in self.points)
        return next((number for number, one in enumerate(means) if one and one.value < self.threshold), None)

    @property
    def emptied(self) -> Group | None:
        """The first point at which a run has lost all weights of a layer."""
        return next((one for one in self.points if any(0 in run.densities.values() for run in one.runs)), None)


def verdict(difference: Mean | None, p: float | None) -> str:
    """Say what a test allows to conclude of a difference."""
    if difference is None:
        return "nothing to compare with"
    if difference.n < 2:
        return "n too small"
    if p is None:
        return "no test: all differences are equal"
    return ALIKE if p >= LEVEL else "better" if difference.value > 0 else "worse"


def against_dense(groups: Sequence[Group]) -> list[AgainstDense]:
    """Compare every group in which something was pruned with the dense network of the same seeds."""
    found = []
    for panel in dict.fromkeys(one.panel for one in groups):
        pruned = [one for one in groups if one.panel == panel and not is_dense(one) and accuracy_of(one)]
        denses = [dense_of(one, groups) for one in pruned]
        differences = [dense and difference(one, dense) for one, dense in zip(pruned, denses, strict=True)]
        corrected = holm([one and paired_t(one) for one in differences])
        found += [
            AgainstDense(one, accuracy_of(one), differences[number], corrected[number])
            for number, one in enumerate(pruned)
        ]
    return found


def controls(groups: Sequence[Group], beside_dense: Sequence[AgainstDense]) -> list[Control]:
    """Compare every group that has controls with the dense network, as was done already, and with each of them."""
    found = []
    known = {one.group.place: one.p for one in beside_dense}
    for panel in dict.fromkeys(one.panel for one in groups if one.control):
        of_panel = [one for one in groups if one.panel == panel]
        compared: list[tuple[Group, Group]] = []
        for one in (one for one in of_panel if not one.control):
            own = [other for other in of_panel if other.control and other.place == one.place]
            dense = dense_of(one, groups)
            compared += [(one, other) for other in ([dense, *own] if dense and own else own)]
        differences = [difference(one, other) for one, other in compared]
        tested = zip(compared, differences, strict=True)
        corrected = holm([gap and paired_t(gap) if other.control else None for (_, other), gap in tested])
        for number, (one, other) in enumerate(compared):
            p = corrected[number] if other.control else known.get(one.place)
            found.append(Control(one, other, differences[number], p))
    return found


def pairs(groups: Sequence[Group]) -> list[Pair]:
    """Compare every two methods over the blocks of each scope that have both."""
    found = []
    for scope in scopes(groups):
        differences = {(one, other): scope.pairs(one, other) for one, other in combinations(scope.methods, 2)}
        differences = {names: values for names, values in differences.items() if values}
        tests = [signed_rank(values) for values in differences.values()]
        for (names, values), p, corrected in zip(differences.items(), tests, holm(tests), strict=True):
            found.append(Pair(scope, *names, mean(values), p, corrected))
    return found


def can_conclude(own: Sequence[Pair]) -> bool:
    """Whether the pairs of a scope have blocks enough that a corrected test could find a difference."""
    return any(smallest_signed_rank(one.difference.n) * len(own) < LEVEL for one in own)


def rankings(groups: Sequence[Group]) -> list[Ranking]:
    """Rank the methods of each scope; of fewer than three methods or two blocks there are no ranks."""
    found = []
    for scope in scopes(groups):
        methods, blocks = scope.complete()
        rows = [[scope.blocks[block][name] for name in methods] for block in blocks]
        ranks = friedman(methods, rows) if len(methods) > 2 and len(blocks) > 1 else None
        found.append(Ranking(scope, ranks, [name for name in scope.methods if name not in methods]))
    return found


def collapses(groups: Sequence[Group]) -> list[Collapse]:
    """Say of every line where it collapses, if the number of classes is known, and its dense network does not guess.

    One that has diverged has nothing to lose: it must be right twice as often as guessing.
    """
    found = []
    for panel, line in dict.fromkeys((one.panel, one.line) for one in groups if not is_dense(one)):
        points = sorted((one for one in groups if (one.panel, one.line) == (panel, line)), key=lambda one: one.strength)
        pruned = [one for one in points if not is_dense(one)]
        dense = dense_of(pruned[0], groups)
        accuracy = dense and accuracy_of(dense)
        classes = {run.classes for one in (*pruned, dense) if one for run in one.runs if run.classes}
        guessing = 1 / classes.pop() if len(classes) == 1 else 1.0
        if accuracy and accuracy.value > 2 * guessing:
            found.append(Collapse(panel, line, accuracy, (accuracy.value + guessing) / 2, pruned))
    return found


def interval_of(found: Mean) -> tuple[float, float] | None:
    """The ends of the 95 % confidence interval of a mean; None of a single value."""
    half = half_width(found)
    return None if half is None else (found.value - half, found.value + half)
