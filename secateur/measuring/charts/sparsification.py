"""Pictures of a network that is pruned without training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import PillowWriter
from torch import Tensor

from secateur.utils.axes import label_outside, legend_below, uncover
from secateur.utils.drawing import BLUE, GREY, line_style, new_figure

#: At most so many layers are animated, evenly spaced; bars of a histogram; pictures a second.
MOST_LAYERS, BINS, PER_SECOND = 12, 60, 1
#: What a norm is the norm of.
NORMS = {"weight": "|w|", "unit": "L2 norm of a unit's incoming weights"}


def accuracy_and_loss(rows: Sequence[dict[str, float]], held_out: str, title: str, path: Path) -> None:
    """Accuracy and loss against the sparsity, of weights and of units."""
    figure = new_figure(10, 4)
    for axes, figure_of, factor, label in zip(
        figure.subplots(1, 2),
        ("accuracy", "loss"),
        (100, 1),
        (f"{held_out} accuracy [%]", f"{held_out} loss"),
        strict=True,
    ):
        for number, unit in enumerate(NORMS):
            points = [(100 * row["sparsity"], factor * row[f"{unit}_{figure_of}"]) for row in rows]
            axes.plot(*zip(*sorted(points), strict=True), **line_style(number), label=f"{unit}s")
        axes.set(xlabel="pruned, without training [%]", ylabel=label)
        axes.grid(alpha=0.3)
        uncover(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def methods(rows: Sequence[dict[str, Any]], held_out: str, title: str, path: Path) -> None:
    """Accuracy against the sparsity by each method, as it has pruned and after repair."""
    figure = new_figure(8, 5)
    axes = figure.subplots()
    for number, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = sorted((row for row in rows if row["method"] == method), key=lambda row: row["sparsity"])
        for figure_of, style in (("accuracy", "--"), ("repaired_accuracy", "-")):
            points = [(100 * row["sparsity"], 100 * row[figure_of]) for row in own]
            label = f"{method}, repaired" if style == "-" else method
            axes.plot(*zip(*points, strict=True), **line_style(number) | {"linestyle": style}, label=label)
    axes.set(xlabel="pruned, without training [%]", ylabel=f"{held_out} accuracy [%]")
    axes.grid(alpha=0.3)
    uncover(axes)
    legend_below(figure, *axes.get_legend_handles_labels())
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)


def distributions(
    unit: str, norms: dict[str, Tensor], steps: dict[float, dict[str, Tensor]], model: str, path: Path
) -> None:
    """An animation: the norms of each layer's weights or units, before and as they are left at each sparsity.

    `norms` are tensors by layer name, `steps` by sparsity which of them are kept. The axes stay; what is zero, which
    would tower above all else, is left out, and the rest counted.
    """
    names = list(norms)
    if len(names) > MOST_LAYERS:
        names = [names[round(number * (len(names) - 1) / (MOST_LAYERS - 1))] for number in range(MOST_LAYERS)]
    edges = {name: np.linspace(0, float(norms[name].max()) or 1, BINS + 1) for name in names}
    columns = min(len(names), 4)
    rows = math.ceil(len(names) / columns)
    figure = new_figure(max(3.2 * columns, 6), 2.6 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    bars = {}
    for axes, name in zip(panels, names, strict=False):
        dense = _counts(norms[name], edges[name])
        axes.stairs(dense, edges[name], fill=True, color=GREY, label="before")
        bars[name] = axes.stairs(dense, edges[name], fill=True, color=BLUE, label="kept")
        axes.set(xlim=(0, edges[name][-1]), ylim=(0, 1.05 * dense.max() or 1))
    for axes in panels[len(names) :]:
        axes.axis("off")
    label_outside(panels[: len(names)], columns, NORMS[unit], f"{unit}s")
    legend_below(figure, *panels[0].get_legend_handles_labels())
    writer = PillowWriter(fps=PER_SECOND)
    with writer.saving(figure, path, dpi=100):
        for sparsity, kept in steps.items():
            figure.suptitle(f"{model}: {unit}s, k = {100 * sparsity:g}%")
            for name in names:
                left = norms[name] * kept[name]
                bars[name].set_data(_counts(left, edges[name]))
                count = f"{int(left.count_nonzero()):,} of {left.numel():,} {unit}s"
                bars[name].axes.set_title(f"{name}: {count}", fontsize=9)
            writer.grab_frame()


def _counts(norms: Tensor, edges: np.ndarray) -> np.ndarray:
    """How many norms lie between the edges, zeros left out."""
    return np.histogram(norms[norms != 0].float().cpu().numpy(), edges)[0]
