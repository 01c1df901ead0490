"""Latency and throughput by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import NullLocator

from secateur.utils.axes import legend_below, log_ticks, uncover
from secateur.utils.drawing import line_style, new_figure

PANELS = {
    "batch_ms": "time of a batch [ms]",
    "images_per_second": "images a second",
    "times_as_fast": "times as fast as the dense network",
}


def speed(rows: Sequence[dict[str, Any]], dense: set[str], title: str, path: Path) -> None:
    """A line for each network over the batch sizes, those in `dense` dashed; `rows` as Speed tabulates them."""
    figure = new_figure(12, 4.2)
    panels = figure.subplots(1, len(PANELS))
    sizes = sorted({row["batch_size"] for row in rows})
    labels = list(dict.fromkeys(row["network"] for row in rows))
    for axes, (column, name) in zip(panels, PANELS.items(), strict=True):
        for number, label in enumerate(labels):
            there = [row for row in rows if row["network"] == label and row[column] is not None]
            style = line_style(number) | {"linestyle": "--" if label in dense else "-"}
            axes.plot([row["batch_size"] for row in there], [row[column] for row in there], label=label, **style)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, map(str, sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="images in a batch", ylabel=name)
        axes.grid(alpha=0.3)
    for axes in panels[:2]:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    panels[2].set_ylim(bottom=0)
    for axes in panels:
        uncover(axes)
    legend_below(figure, *panels[0].get_legend_handles_labels())
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
