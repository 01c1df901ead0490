"""Figures of one measure by another: a point for each group, over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from secateur.reports.groups import DENSE, Group, pareto_front
from secateur.reports.measures import ACCURACY, COMPRESSION, FLOPS, NODES, SPEED_UP, Measure
from secateur.reports.panels import add_legend, by_error, line_names, logarithmic, panel_grid, plain
from secateur.utils.axes import name_points, uncover
from secateur.utils.drawing import GREY


def measure_lines(groups: Sequence[Group], x: Measure, y: Measure, styles: dict[str, dict]) -> Figure | None:
    """A panel for each of the groups', a line for each of theirs; what is dense is a dashed line across."""
    points = {
        id(one): (across, up)
        for one in groups
        if (across := x.mean(one)) is not None and (up := y.mean(one)) is not None
    }
    there = [one for one in groups if id(one) in points]
    if not there or (x is NODES and not any(points[id(one)][0].value for one in there)):
        return None
    panels = list(dict.fromkeys(one.panel for one in there))
    figure, all_axes = panel_grid(len(panels), 5.2, 3.9, most=3)
    named: dict[str, Any] = {}
    for axes, panel in zip(all_axes, panels, strict=True):
        own = [one for one in there if one.panel == panel]
        seen: list[tuple[float, float]] = []
        for line in line_names(own):
            rows = sorted(
                [points[id(one)] for one in own if one.line == line], key=lambda pair: (pair[0].value, pair[1].value)
            )
            xs, ys, spread = zip(
                *((a.value * x.factor, b.value * y.factor, (b.deviation or 0) * y.factor) for a, b in rows), strict=True
            )
            if line.startswith(DENSE) and x is not FLOPS:
                drawn = axes.axhline(ys[0], color="black", linestyle="--", linewidth=1)
            else:
                drawn = axes.errorbar(xs, ys, yerr=spread if any(spread) else None, capsize=2, **styles[line])
                seen += zip(xs, ys, strict=True)
            named.setdefault(line, drawn)
            seen += [] if seen else [(xs[0], ys[0])]
        axes.set(xlabel=x.label, ylabel=y.label, title=plain(panel))
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        logarithmic(axes.xaxis, [point[0] for point in seen], "x" if x is COMPRESSION else "")
        if y is ACCURACY:
            by_error(axes, [point[1] for point in seen])
        else:
            logarithmic(axes.yaxis, [point[1] for point in seen])
        uncover(axes)
        if x is COMPRESSION:
            _sparsity_above(axes)
    add_legend(figure, named)
    return figure


def beyond_error(groups: Sequence[Group], measure: Measure) -> list[Group]:
    """The groups of those panels in which a measure differs by more than twice its largest standard deviation.

    Where less lies between its largest and its smallest mean, or no group has two seeds, a figure would show noise.
    """
    kept = []
    for panel in dict.fromkeys(one.panel for one in groups):
        own = [one for one in groups if one.panel == panel]
        means = [found for one in own if (found := measure.mean(one)) is not None]
        errors = [found.deviation for found in means if found.deviation is not None]
        values = [found.value for found in means]
        if errors and max(values) - min(values) > 2 * max(errors):
            kept += own
    return kept


def _sparsity_above(axes: Axes) -> None:
    """A second axis above that says of a compression which sparsity it is."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if max(low, 1) <= tick <= high]
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{100 - 100 / tick:.3g}%" for tick in ticks])
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("weights pruned", fontsize=8)
    above.tick_params(labelsize=8)


def pareto(groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Accuracy against the measured speed-up: a panel for each panel of the groups and batch size."""
    drawn: list[tuple[str, list[tuple[Group, float, float]]]] = []
    for panel in dict.fromkeys(one.panel for one in groups):
        for size, measure in SPEED_UP.items():
            points = [
                (one, across.value, 100 * up.value)
                for one in groups
                if one.panel == panel
                if (across := measure.mean(one)) is not None and (up := ACCURACY.mean(one)) is not None
            ]
            if points:
                drawn.append((f"{panel}, {size} image{'s' if size > 1 else ''} at a time", points))
    if not drawn:
        return None
    figure, all_axes = panel_grid(len(drawn), 5.2, 3.9, most=2)
    named: dict[str, Any] = {}
    for axes, (title, points) in zip(all_axes, drawn, strict=True):
        for one, across, up in points:
            (mark,) = axes.plot(across, up, **styles[one.line] | {"linestyle": "none"})
            named.setdefault(one.line, mark)
        front = pareto_front([(across, up) for _, across, up in points])
        axes.plot(*zip(*front, strict=True), color=GREY, alpha=0.6, zorder=0, drawstyle="steps-pre")
        axes.axvline(1, color="black", linestyle=":", linewidth=1)
        axes.set(xlabel="times as fast as the dense network", ylabel=ACCURACY.label, title=plain(title))
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        axes.margins(x=0.1)  # room for names
        by_error(axes, [up for _, _, up in points])
        name_points(axes, [(across, up) for _, across, up in points], [plain(one.target) for one, _, _ in points])
    add_legend(figure, named)
    return figure
