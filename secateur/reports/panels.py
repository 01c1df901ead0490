"""What the figures of a report have in common: panels, axes, and one legend below them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from secateur.reports.groups import DENSE, Group
from secateur.utils.axes import TickText, legend_below, log_ticks
from secateur.utils.drawing import new_figure
from secateur.utils.text import printable

#: More panels side by side, or layers in one figure, nobody can read: evenly spaced ones are drawn then.
MOST_COLUMNS, MOST_LAYERS = 6, 24
MOST_SIDE_BY_SIDE = 4
#: Of more panels and lines those of the most runs are drawn, and shown side by side on the page.
MOST_PANELS, MOST_LINES = 12, 24
#: An axis is logarithmic where its largest value is so many times its smallest.
DECADES = 8
#: At which accuracies, in per cent, an axis by the error has ticks.
ACCURACY_TICKS = (0, 50, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
#: Errors below this, in per cent, are drawn as this, where the axis is logarithmic in them.
SMALLEST_ERROR = 0.01


@dataclass(frozen=True)
class Picture:
    """A figure of the report."""

    #: The files' name without ending.
    name: str
    caption: str
    figure: Figure


def line_names(groups: Sequence[Group]) -> list[str]:
    """The names of all lines, dense first."""
    return sorted({one.line for one in groups}, key=lambda line: (line != DENSE, line.lower()))


def most_run(groups: Sequence[Group]) -> tuple[list[Group], str]:
    """The groups of the panels and lines that a page can show, and what it says of the others ("" for none)."""
    panels: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for one in groups:
        panels[one.panel] += len(one.runs)
        lines[one.line] += len(one.runs)
    if len(panels) <= MOST_PANELS and len(lines) <= MOST_LINES:
        return list(groups), ""
    some_panels, some_lines = (
        dict(counts.most_common(most)) for counts, most in ((panels, MOST_PANELS), (lines, MOST_LINES))
    )
    kept = [one for one in groups if one.panel in some_panels and (one.line in some_lines or one.line == DENSE)]
    shown = f"{len(some_panels)} of {len(panels):,} networks and data, {len(some_lines)} of {len(lines):,} lines"
    return (
        kept,
        f"Shown are the groups of the most runs: {shown}. The table of all groups, and the CSV files, have all.",
    )


def plain(name: str) -> str:
    """A name as a figure shows it: between two dollars it would be read as a formula."""
    return printable(name).replace("$", r"\$")


def spaced(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, evenly spaced, the first and the last included."""
    if len(things) <= most:
        return list(things)
    return [things[round(number * (len(things) - 1) / (most - 1))] for number in range(most)]


def panel_grid(number: int, width: float, height: float, most: int = MOST_SIDE_BY_SIDE) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most `most` side by side, each of this width and height in inches."""
    columns = min(number, most)
    rows = math.ceil(number / columns)
    figure = new_figure(width * columns, height * rows + 0.2)
    panels = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for axes in panels[number:]:
        axes.axis("off")
    return figure, panels[:number]


def add_title(figure: Figure, title: str) -> None:
    """A title at the left, where a page that is narrower than the figure begins."""
    figure.suptitle(plain(title), fontsize=11, x=0.01, ha="left")


def by_error(axes: Axes, values: Sequence[float]) -> None:
    """Let an axis of accuracies in per cent be logarithmic in the error where the errors span a decade."""
    errors = [max(100 - value, SMALLEST_ERROR) for value in values]
    if max(errors) < DECADES * min(errors):
        return

    def forward(accuracy: Any) -> Any:
        return -np.log10(np.maximum(100 - accuracy, SMALLEST_ERROR))

    axes.set_yscale("function", functions=(forward, lambda place: 100 - 10.0**-place))
    axes.yaxis.set_major_locator(FixedLocator(ACCURACY_TICKS))
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = 100 - 1.3 * max(errors), 100 - min(errors) / 1.3
    axes.set_ylim(max(low, 0), high)
    if label := axes.get_ylabel():
        axes.set_ylabel(f"{label}\n(logarithmic in the error)")


def logarithmic(axis: Any, values: Sequence[float], suffix: str = "") -> None:
    """Let an axis be logarithmic where its values are positive and span a decade."""
    if min(values) > 0 and max(values) >= DECADES * min(values):
        axis._set_axes_scale("log")
        log_ticks(axis, suffix)
    else:
        axis.set_major_formatter(TickText(suffix))


def add_legend(figure: Figure, named: dict[str, Any]) -> None:
    """One legend below all panels, whichever of them a line is in."""
    lines = sorted(named, key=lambda line: (line != DENSE, line.lower()))
    names = [plain(line.replace(DENSE, "dense", 1) if line.startswith(DENSE) else line) for line in lines]
    legend_below(figure, [named[line] for line in lines], names, "left")


def targets_of(groups: Sequence[Group]) -> list[str]:
    """How much is pruned, in order, dense left out unless it is all there is."""
    pruned = [one for one in groups if not one.line.startswith(DENSE)] or groups
    return list(dict.fromkeys(one.target for one in sorted(pruned, key=lambda one: one.strength)))
