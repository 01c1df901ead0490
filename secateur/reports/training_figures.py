"""Figures of training: loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from secateur.reports.groups import DENSE, Group, mean
from secateur.reports.panels import (
    MOST_COLUMNS,
    add_legend,
    add_title,
    by_error,
    logarithmic,
    plain,
    spaced,
    targets_of,
)
from secateur.utils.axes import uncover
from secateur.utils.drawing import new_figure


def training_curves(panel: str, groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Loss and accuracy over the epochs: a column for each target, a line for each of the groups'."""
    there = [one for one in groups if any(len(run.epochs) > 1 for run in one.runs)]
    if not there:
        return None
    columns = {name for one in there for run in one.runs for row in run.epochs for name in row}
    wanted = ["train_loss", *(f"{which}_accuracy" for which in ("train", "validation", "test"))]
    rows = [name for name in wanted if name in columns]
    targets = spaced(targets_of(there), MOST_COLUMNS)
    if not rows:
        return None
    figure = new_figure(max(3.1 * len(targets), 5), 2.5 * len(rows) + 0.4)
    panels = figure.subplots(len(rows), len(targets), squeeze=False, sharex="col", sharey="row")
    named: dict[str, Any] = {}
    for down, name in enumerate(rows):
        factor, seen = 100 if name.endswith("accuracy") else 1, []
        for across, target in enumerate(targets):
            axes = panels[down, across]
            for one in there:
                if one.target == target or one.line.startswith(DENSE):
                    points = _over_epochs(one, name)
                    if points:
                        epochs, values = zip(*points, strict=True)
                        values = [factor * value for value in values]
                        style = {**styles[one.line], "markersize": 3, "markevery": max(len(epochs) // 10, 1)}
                        (drawn,) = axes.plot(epochs, values, linewidth=1.2, **style)
                        named.setdefault(one.line, drawn)
                        seen += values
            axes.grid(alpha=0.3)
            axes.set_title("" if down else plain(target), fontsize=10)
            axes.set_xlabel("epoch" if down == len(rows) - 1 else "")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[down, 0].set_ylabel(name.replace("_", " ") + (" [%]" if factor == 100 else ""))
        if factor == 100:
            for axes in panels[down]:
                by_error(axes, seen)
        else:
            logarithmic(panels[down, 0].yaxis, seen)
        for axes in panels[down]:
            uncover(axes)
    add_title(figure, panel)
    add_legend(figure, named)
    return figure


def _over_epochs(group: Group, name: str) -> list[tuple[float, float]]:
    """The mean over the seeds at each epoch."""
    values: dict[float, list[float]] = {}
    for run in group.runs:
        for row in run.epochs:
            if name in row:
                values.setdefault(row["epoch"], []).append(row[name])
    return [(epoch, found.value) for epoch, many in sorted(values.items()) if (found := mean(many))]
