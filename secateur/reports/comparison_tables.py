"""The tables of what can be concluded: each number in a column of its own, accuracies in per cent."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from secateur.reports.blocks import accuracy_of
from secateur.reports.comparisons import AgainstDense, Collapse, Control, Pair, Ranking, interval_of
from secateur.reports.groups import CONTROLS, Group, Mean
from secateur.reports.measures import FLOPS, PARAMETERS
from secateur.reports.tables import Cell, ReportTable

#: A p below it is written as one below it.
SMALLEST_P = 0.0001


def of_dense(found: Sequence[AgainstDense]) -> ReportTable:
    """Each group with the interval of its accuracy, and of its difference to the dense network of the same seed."""
    rows = [
        [
            *named(one.group),
            count(one.accuracy),
            *with_interval(one.accuracy),
            count(one.difference),
            *with_interval(one.difference),
            p_cell(one.p),
            Cell(one.verdict),
        ]
        for one in found
    ]
    columns = ["network", "criterion", "compression", "n", "accuracy [%]", "95 % from", "95 % to", "pairs"]
    columns += ["minus dense [points]", "difference from", "difference to", "p (Holm)", "than dense"]
    return ReportTable(
        "against_dense", "accuracy, and its difference to the dense network of the same seed", columns, rows
    )


def of_controls(found: Sequence[Control]) -> ReportTable:
    """Each group, and below it what it must beat."""
    rows, last = [], None
    for one in found:
        if one.group is not last:
            rows.append([*named(one.group), Cell("itself"), *sizes(one.group), *[Cell("")] * 6])
            last = one.group
        name = CONTROLS.get(one.control.control, "dense")
        tested = [count(one.difference), *with_interval(one.difference), p_cell(one.p), Cell(one.verdict)]
        rows.append([*named(one.group), Cell(name), *sizes(one.control), *tested])
    columns = ["network", "criterion", "compression", "beside", "parameters", "effective MFLOPs", "n", "accuracy [%]"]
    columns += ["95 % from", "95 % to", "pairs", "criterion minus it [points]", "difference from", "difference to"]
    columns += ["p (Holm)", "the criterion is"]
    return ReportTable("controls", "what each criterion must beat, of the same seed", columns, rows)


def sizes(group: Group) -> list[Cell]:
    """Parameters, FLOPs in millions, and the accuracy with its interval."""
    parameters, flops = (measure.mean(group) for measure in (PARAMETERS, FLOPS))
    accuracy = accuracy_of(group)
    return [
        Cell(f"{parameters.value:.0f}", parameters.value) if parameters else Cell(""),
        Cell(f"{1e-6 * flops.value:.4f}", flops.value) if flops else Cell(""),
        count(accuracy),
        *with_interval(accuracy),
    ]


def of_pairs(found: Sequence[Pair]) -> ReportTable:
    """Every two methods, over the blocks that have both."""
    rows = [
        [
            Cell(one.scope.name),
            Cell(one.one),
            Cell(one.other),
            count(one.difference),
            *with_interval(one.difference),
            p_cell(one.p),
            p_cell(one.corrected),
            Cell(one.verdict),
        ]
        for one in found
    ]
    columns = ["network", "first", "second", "blocks", "first minus second [points]", "95 % from", "95 % to"]
    columns += ["p (Wilcoxon)", "p (Holm)", "the first is"]
    return ReportTable(
        "pairs", "pairs of methods over blocks of a seed, a compression, a network and its data", columns, rows
    )


def of_ranks(found: Sequence[Ranking]) -> ReportTable:
    """Mean ranks; methods that share a letter are not distinguishable."""
    rows = []
    for one in found:
        if one.ranks:
            for name, rank in one.ranks.mean.items():
                letters = "".join(letter(number) for number, names in enumerate(one.ranks.alike) if name in names)
                places = Cell(str(one.ranks.blocks), one.ranks.blocks)
                difference = number_cell(one.ranks.critical)
                rows.append(
                    [
                        Cell(one.scope.name),
                        Cell(name),
                        places,
                        number_cell(rank),
                        difference,
                        p_cell(one.ranks.p),
                        Cell(letters),
                    ]
                )
    columns = [
        "network",
        "criterion",
        "blocks",
        "mean rank",
        "critical difference",
        "p (Friedman)",
        "not distinguishable",
    ]
    return ReportTable(
        "ranks", "mean ranks, 1 is the best; methods that share a letter are not distinguishable", columns, rows
    )


def of_collapses(found: Sequence[Collapse]) -> ReportTable:
    """Where each line collapses."""
    rows = []
    for one in found:
        first = one.first_below
        below = None if first is None else one.points[first]
        above = one.points[-1] if first is None else one.points[first - 1] if first else None
        accuracy = below and accuracy_of(below)
        rows.append(
            [
                Cell(one.panel),
                Cell(one.line),
                number_cell(100 * one.dense.value),
                number_cell(100 * one.threshold),
                target_cell(above),
                target_cell(below),
                count(accuracy),
                *with_interval(accuracy),
                target_cell(one.emptied),
            ]
        )
    columns = ["network", "criterion", "dense [%]", "threshold [%]", "above it up to", "below it from", "n"]
    columns += ["accuracy there [%]", "95 % from", "95 % to", "a layer is empty from"]
    return ReportTable(
        "collapse", "where the mean accuracy falls below halfway between dense and guessing", columns, rows
    )


def named(group: Group) -> list[Cell]:
    """The cells that say which group it is."""
    return [Cell(group.panel), Cell(group.line), target_cell(group)]


def target_cell(group: Group | None) -> Cell:
    """How much was to be pruned."""
    return Cell("") if group is None else Cell(group.target, group.strength[0])


def with_interval(found: Mean | None) -> list[Cell]:
    """A mean in per cent or points, and the two ends of its interval."""
    if found is None:
        return [Cell("")] * 3
    ends = interval_of(found)
    return [number_cell(100 * found.value), *(number_cell(100 * end) for end in ends or ())] + [Cell("")] * (
        0 if ends else 2
    )


def count(found: Mean | None) -> Cell:
    """How many values a mean is of."""
    return Cell("") if found is None else Cell(str(found.n), found.n)


def number_cell(value: float) -> Cell:
    """A number with two decimals."""
    return Cell(two_decimals(value), value)


def two_decimals(value: float) -> str:
    """A number as a page shows it; nothing is minus zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def p_cell(p: float | None) -> Cell:
    """A probability with four decimals."""
    return Cell("") if p is None else Cell(f"{p:.4f}" if p >= SMALLEST_P else f"<{SMALLEST_P}", p)


def letter(number: int) -> str:
    """a, b, ..., z, a1, b1, ..."""
    again, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(again) if again else "")
