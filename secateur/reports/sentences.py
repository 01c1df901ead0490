"""Sentences of conclusion, each with its 95 % confidence interval and the size of its sample.

Of what one seed alone has run there is no interval: one sentence names it, and nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secateur.reports.blocks import accuracy_of, by_seed, difference, is_dense
from secateur.reports.comparison_tables import two_decimals
from secateur.reports.comparisons import (
    ALIKE,
    AgainstDense,
    Collapse,
    Control,
    Pair,
    Ranking,
    can_conclude,
    interval_of,
)
from secateur.reports.groups import CONTROLS, Group, Mean
from secateur.reports.inference import LEVEL
from secateur.reports.reached import missed


def with_interval(found: Mean, sign: int = 1) -> str:
    """As "1.20 [0.43, 1.97]", in per cent; of two values at least."""
    ends = sorted(sign * end for end in interval_of(found) or ())
    return f"{two_decimals(100 * sign * found.value)} [{', '.join(two_decimals(100 * end) for end in ends)}]"


def of_dense(found: Sequence[AgainstDense]) -> Iterator[str]:
    """What each line loses against the dense network, at all of its compressions."""
    for panel, line in dict.fromkeys((one.group.panel, one.group.line) for one in found):
        parts = []
        for one in found:
            if (one.group.panel, one.group.line) == (panel, line) and one.difference and one.difference.n > 1:
                sign = 1 if one.difference.value > 0 else -1
                text = f"{'gains' if sign > 0 else 'loses'} {with_interval(one.difference, sign)} points"
                parts.append(f"{text} at {one.group.target} ({_tested(one.difference, one.verdict)})")
        if parts:
            yield f"{panel}: against the dense network of the same seed, {line} {', '.join(parts)}."


def of_controls(found: Sequence[Control]) -> Iterator[str]:
    """How far each group is from its controls; against the dense network there is a sentence already."""
    for group in {id(one.group): one.group for one in found}.values():
        parts = []
        for one in found:
            if one.group is group and one.control.control and one.difference and one.difference.n > 1:
                sign = 1 if one.difference.value > 0 else -1
                text = f"{with_interval(one.difference, sign)} points {'above' if sign > 0 else 'below'}"
                parts.append(f"{text} {CONTROLS[one.control.control]} ({_tested(one.difference, one.verdict)})")
        if parts:
            start = f"{group.panel}: beside its controls of the same seed, {group.line} at {group.target} is"
            yield f"{start} {', '.join(parts)}."


def of_best(groups: Sequence[Group]) -> Iterator[str]:
    """The best and the second best of each panel and compression, where both have run several seeds."""
    for panel, _, target in sorted({(one.panel, one.strength, one.target) for one in groups if not is_dense(one)}):
        own = [one for one in groups if (one.panel, one.target) == (panel, target) and len(by_seed(one)) > 1]
        if len(own) < 2:
            continue
        own.sort(key=lambda one: (-accuracy_of(one).value, one.line.lower()))
        best, second = own[:2]
        accuracy, ahead = accuracy_of(best), difference(best, second)
        text = f"{panel} at {target}: {best.line} has the highest mean accuracy, {with_interval(accuracy)} % "
        text += f"(n = {accuracy.n})"
        if ahead is None or ahead.n < 2:
            yield f"{text}; it shares too few seeds with {second.line}, the next, to compare them."
            continue
        says = "" if interval_of(ahead)[0] > 0 else ": which of the two is better cannot be said"
        yield f"{text}, {with_interval(ahead)} points above {second.line} of the same seed (n = {ahead.n}){says}."


def of_missed(groups: Sequence[Group]) -> Iterator[str]:
    """Which groups have reached another compression than the one that they are compared at."""
    for panel in dict.fromkeys(one.panel for one in groups):
        own = [one for one in groups if one.panel == panel and not is_dense(one) and not one.control]
        parts = [f"{one.line} {found:.3g}x for {one.target}" for one in own if (found := missed(one))]
        if parts:
            yield f"{panel}: compared at what was asked for, though what was reached is another: {', '.join(parts)}."


def of_ranks(found: Sequence[Ranking]) -> Iterator[str]:
    """Whether the methods of each scope differ, and which from the best."""
    for one in found:
        ranks = one.ranks
        if ranks is None:
            continue
        text = f"{one.scope.name}: over {ranks.blocks} blocks, the mean ranks of {len(ranks.mean)} methods "
        if ranks.differ:
            first, *_ = ranks.mean
            behind = [f"{name} ({ranks.mean[name]:.2f})" for name in ranks.mean if name not in ranks.alike[0]]
            text += f"differ (Friedman, p = {ranks.p:.2g}; critical difference {ranks.critical:.2f}): {first}, of mean "
            text += (
                f"rank {ranks.mean[first]:.2f}, is distinguishable from {', '.join(behind) or 'none of the others'}."
            )
        else:
            text += f"are not distinguishable (Friedman, p = {ranks.p:.2g})."
        yield text + (f" Not ranked, as runs are missing: {', '.join(one.left_out)}." if one.left_out else "")


def of_pairs(found: Sequence[Pair]) -> Iterator[str]:
    """How many pairs of each scope are distinguishable."""
    for scope in dict.fromkeys(one.scope.name for one in found):
        own = [one for one in found if one.scope.name == scope]
        blocks = sorted({one.difference.n for one in own})
        if blocks[-1] < 2:
            continue
        of = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else str(blocks[0])
        text = f"{scope}: of {len(own)} pair{'s' if len(own) > 1 else ''} of methods, over {of} blocks, "
        if can_conclude(own):
            apart = sum(one.corrected < LEVEL for one in own)
            yield f"{text}{apart} are distinguishable (Wilcoxon, corrected by Holm); the table of pairs says which."
        else:
            yield f"{text}nothing can be concluded: with so few blocks no corrected p can be below {LEVEL}."


def of_collapses(found: Sequence[Collapse]) -> Iterator[str]:
    """Which lines of each panel have collapsed, and where, and which have not."""
    for panel in dict.fromkeys(one.panel for one in found):
        fallen, standing = [], []
        own = [one for one in found if one.panel == panel]
        for one in own:
            first = one.first_below
            point = one.points[-1 if first is None else first]
            accuracy = accuracy_of(point)
            if accuracy and accuracy.n > 1:
                text = f"{one.line} at {point.target} ({with_interval(accuracy)} %, n = {accuracy.n}"
                above = f"; above it at {one.points[first - 1].target}" if first else ""
                (standing if first is None else fallen).append(f"{text}{above if first is not None else ''})")
        halfway = " or ".join(sorted({f"{two_decimals(100 * one.threshold)} %" for one in own}))
        if fallen:
            yield f"{panel}: collapsed, below {halfway} halfway between dense and guessing: {', '.join(fallen)}."
        if standing:
            yield f"{panel}: not collapsed, at the most that was pruned: {', '.join(standing)}."


def of_single_seeds(groups: Sequence[Group]) -> Iterator[str]:
    """What nothing can be concluded of."""
    for panel in dict.fromkeys(one.panel for one in groups):
        single = [f"{one.line} at {one.target}" for one in groups if one.panel == panel and len(by_seed(one)) == 1]
        if single:
            yield f"{panel}: of one seed alone (n = 1), so that nothing can be concluded: {', '.join(single)}."


def _tested(difference: Mean, verdict: str) -> str:
    """The size of the sample, and what the corrected test says where that is not what the mean says."""
    if verdict in ("better", "worse"):
        return f"n = {difference.n}"
    low, high = interval_of(difference)
    corrected = " once corrected for all tests" if low * high > 0 and verdict == ALIKE else ""
    return f"n = {difference.n}: {verdict}{corrected}"
