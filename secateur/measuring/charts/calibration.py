"""Reliability diagrams."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from secateur.measuring.calibration import Calibration
from secateur.utils.axes import legend_below, log_ticks
from secateur.utils.drawing import BLUE, GREY, ORANGE, new_figure

MOST_COLUMNS = 4


def reliability(networks: dict[str, Calibration], title: str, path: Path) -> None:
    """For each network its accuracy by confidence, the gap to the diagonal, and below how many images there are."""
    columns = min(len(networks), MOST_COLUMNS)
    rows = math.ceil(len(networks) / columns)
    figure = new_figure(max(3.3 * columns, 5), 4.6 * rows + 0.4)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3, 1.2] * rows)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        diagram, histogram = grid[2 * row : 2 * row + 2, column]
        if number >= len(networks):
            diagram.axis("off")
            histogram.axis("off")
            continue
        label, found = list(networks.items())[number]
        bins = len(found.images)
        there = np.array(found.images) > 0
        accuracy, gaps = 100 * np.array(found.accuracy)[there], 100 * np.array(found.gaps)[there]
        left = (100 / bins * np.arange(bins))[there]
        place = {"width": 100 / bins, "align": "edge", "edgecolor": "white", "linewidth": 0.5}
        diagram.bar(left, accuracy, color=BLUE, label="accuracy", **place)
        gap = {**place, "edgecolor": ORANGE, "hatch": "////", "linewidth": 1}
        diagram.bar(left, -gaps, bottom=accuracy, color="none", label="gap to the confidence", **gap)
        diagram.plot([0, 100], [0, 100], color="black", linewidth=1, linestyle="--", label="calibrated")
        errors = f"ECE {found.expected_error:.2%}, MCE {found.maximum_error:.2%}"
        diagram.set_title(f"{label}\n{errors}", fontsize=9)
        diagram.set(xlim=(0, 100), ylim=(0, 100), ylabel="accuracy [%]" if column == 0 else None)
        histogram.bar(100 / bins * np.arange(bins), found.images, color=GREY, **place)
        histogram.set_yscale("log")
        histogram.set(xlim=(0, 100), ylim=(0.5, 2 * sum(found.images)), ylabel="images" if column == 0 else None)
        histogram.set_xlabel("confidence [%]")
        log_ticks(histogram.yaxis)
    legend_below(figure, *grid[0, 0].get_legend_handles_labels())
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
