"""What a report lets one conclude, in sentences, each with its 95 % confidence interval and the size of its sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secateur.reports.blocks import difference, is_dense
from secateur.reports.comparison_tables import of_collapses, of_controls, of_dense, of_pairs, of_ranks, two_decimals
from secateur.reports.comparisons import (
    AgainstDense,
    Collapse,
    Control,
    Pair,
    Ranking,
    against_dense,
    can_conclude,
    collapses,
    controls,
    interval_of,
    pairs,
    rankings,
)
from secateur.reports.groups import CONTROLS, Group, Mean
from secateur.reports.inference import LEVEL
from secateur.reports.measures import ACCURACY
from secateur.reports.tables import ReportTable

#: How the sentences and tables come about, for the page.
METHOD = """\
Intervals are 95 % confidence intervals of the mean by Student's t, over seeds or blocks. Against the dense network,
runs of the same seed are paired; p is of the t-test of these pairs. Two methods are compared over blocks, each a seed,
a compression, and a network with its data, by Wilcoxon's signed-rank test. p is corrected for the number of tests of a
network and its data by Holm's procedure (1979), and "not distinguishable" is what a corrected p of 0.05 or more
leaves: no proof that two are equal. Intervals are not corrected. Methods are ranked in each block that has all of them;
mean ranks by Friedman's test with the F distribution (Iman & Davenport, 1980), and the critical difference is Nemenyi's
(Demšar, 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, section 3.2.2). Blocks of one
seed share initial weights and the order of images, those of one network its data: what is concluded holds for the
networks, data and compressions that were run, and the tests take blocks for independent, which makes p too small
where they are not. A method collapses where its mean accuracy first falls below halfway between that of the dense
network and guessing, one over the number of classes, a definition of this report; that a layer has no weights left, the
layer collapse of Tanaka et al. (2020, "Pruning neural networks without any data by iteratively conserving synaptic
flow", section 4), stands beside it."""


def conclude(groups: Sequence[Group], shown: Sequence[Group]) -> tuple[list[str], list[ReportTable], list[Ranking]]:
    """Return sentences, tables and rankings of the finished trainings, controls among them.

    Methods are compared with each other among the groups that are `shown`, of which a page can show all pairs.
    """
    methods = [one for one in groups if not one.control]
    dense, beside, fallen = against_dense(methods), controls(groups), collapses(methods)
    two, ranked = pairs(shown), rankings(shown)
    tables = [of_dense(dense), of_controls(beside), of_ranks(ranked), of_pairs(two), of_collapses(fallen)]
    sentences = [*_of_dense(dense), *_of_controls(beside), *_of_best(shown), *_of_ranks(ranked), *_of_pairs(two)]
    return [*sentences, *_of_collapses(fallen)], [table for table in tables if table.rows], ranked


def shown_interval(found: Mean, sign: int = 1) -> str:
    """As "1.20 [0.43, 1.97]", in per cent; of a single value there is no interval."""
    ends = interval_of(found)
    inside = ", ".join(two_decimals(100 * end) for end in sorted(sign * end for end in ends)) if ends else "no interval"
    return f"{two_decimals(100 * sign * found.value)} [{inside}]"


def _of_dense(found: Sequence[AgainstDense]) -> Iterator[str]:
    """A sentence for each line, with all of its compressions."""
    for panel, line in dict.fromkeys((one.group.panel, one.group.line) for one in found):
        own = [one for one in found if (one.group.panel, one.group.line) == (panel, line) and one.difference]
        parts = []
        for one in own:
            sign = 1 if one.difference.value > 0 else -1
            done = "gains" if sign > 0 else "loses"
            text = f"{done} {shown_interval(one.difference, sign)} points at {one.group.target} (n = {one.difference.n}"
            parts.append(text + (")" if one.verdict in ("better", "worse") else f": {one.verdict})"))
        if parts:
            yield f"{panel}: against the dense network of the same seed, {line} {', '.join(parts)}."


def _of_controls(found: Sequence[Control]) -> Iterator[str]:
    """A sentence for each group, with all of its controls but the dense network, which has one already."""
    for group in {id(one.group): one.group for one in found}.values():
        parts = []
        for one in (one for one in found if one.group is group and one.control.control and one.difference):
            sign = 1 if one.difference.value > 0 else -1
            done = "above" if sign > 0 else "below"
            text = f"{shown_interval(one.difference, sign)} points {done} {CONTROLS[one.control.control]} "
            told = "" if one.verdict in ("better", "worse") else f": {one.verdict}"
            parts.append(f"{text}(n = {one.difference.n}{told})")
        if parts:
            start = f"{group.panel}: beside its controls of the same seed, {group.line} at {group.target} is"
            yield f"{start} {', '.join(parts)}."


def _of_best(groups: Sequence[Group]) -> Iterator[str]:
    """The best and the second best of each panel and compression."""
    places = dict.fromkeys((one.panel, one.strength, one.target) for one in groups if not is_dense(one))
    for panel, _, target in sorted(places):
        own = [one for one in groups if (one.panel, one.target) == (panel, target) and ACCURACY.mean(one)]
        own.sort(key=lambda one: (-ACCURACY.mean(one).value, one.line.lower()))
        if len(own) < 2:
            continue
        best, second = own[:2]
        accuracy, ahead = ACCURACY.mean(best), difference(best, second)
        text = f"{panel} at {target}: {best.line} has the highest mean accuracy, {shown_interval(accuracy)} % "
        text += f"(n = {accuracy.n})"
        if ahead is None:
            yield f"{text}; no seed is shared with {second.line}, the next."
            continue
        ends = interval_of(ahead)
        says = "" if ends and ends[0] > 0 else ": which of the two is better cannot be said"
        yield f"{text}, {shown_interval(ahead)} points above {second.line} of the same seed (n = {ahead.n}){says}."


def _of_ranks(found: Sequence[Ranking]) -> Iterator[str]:
    for one in found:
        ranks = one.ranks
        if ranks is None:
            continue
        text = f"{one.scope.name}: over {ranks.blocks} blocks, the mean ranks of {len(ranks.mean)} methods "
        if not ranks.differ:
            yield f"{text}are not distinguishable (Friedman, p = {ranks.p:.2g})."
            continue
        first, *_ = ranks.mean
        behind = [name for name in ranks.mean if name not in ranks.alike[0]]
        text += f"differ (Friedman, p = {ranks.p:.2g}; critical difference {ranks.critical:.2f}): {first}, "
        text += f"of mean rank {ranks.mean[first]:.2f}, is "
        names = ", ".join(f"{name} ({ranks.mean[name]:.2f})" for name in behind)
        yield text + (f"distinguishable from {names}." if behind else "distinguishable from no other one of them.")
        if one.left_out:
            yield f"{one.scope.name}: not ranked, as runs are missing: {', '.join(one.left_out)}."


def _of_pairs(found: Sequence[Pair]) -> Iterator[str]:
    for scope in dict.fromkeys(one.scope.name for one in found):
        own = [one for one in found if one.scope.name == scope]
        blocks = sorted({one.difference.n for one in own})
        of = f"{blocks[0]} to {blocks[-1]}" if len(blocks) > 1 else str(blocks[0])
        text = f"{scope}: of {len(own)} pair{'s' if len(own) > 1 else ''} of methods, over {of} blocks each, "
        if not can_conclude(own):
            yield f"{text}nothing can be concluded: with so few blocks no corrected p can be below {LEVEL}."
            continue
        apart = [one for one in own if one.corrected < LEVEL]
        yield f"{text}{len(apart)} are distinguishable (Wilcoxon, corrected by Holm); the table of pairs says which."


def _of_collapses(found: Sequence[Collapse]) -> Iterator[str]:
    for one in found:
        first = one.first_below
        halfway = f"{100 * one.threshold:.2f} %, halfway between dense and guessing"
        if first is None:
            last = one.points[-1]
            accuracy = ACCURACY.mean(last)
            if accuracy:
                yield (
                    f"{one.panel}: {one.line} has not collapsed up to {last.target}, where it has "
                    f"{shown_interval(accuracy)} % (n = {accuracy.n}; {halfway})."
                )
            continue
        below = one.points[first]
        accuracy = ACCURACY.mean(below)
        since = f"after {one.points[first - 1].target}" if first else "at the first compression that was run"
        yield (
            f"{one.panel}: {one.line} collapses {since}: at {below.target} it has {shown_interval(accuracy)} % "
            f"(n = {accuracy.n}), below {halfway}."
        )
