"""A picture of accuracy against latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.utils.axes import legend_below, name_points
from secateur.utils.drawing import BLUE, ORANGE, new_figure


def tradeoff(rows: Sequence[dict[str, Any]], first: str, held_out: str, title: str, path: Path) -> None:
    """Accuracy against milliseconds: a line of the pruned networks, from the one they come from, others as points.

    Rows without a latency, which took too long to measure, are left out.
    """
    measured = [row for row in rows if row["latency_ms"] is not None]
    line = [row for row in measured if row["asked"] is not None or row["network"] == first]
    others = [row for row in measured if row not in line]
    figure = new_figure(8, 5)
    axes = figure.subplots()

    def points(of: list[dict[str, Any]]) -> list[tuple[float, float]]:
        return sorted((row["latency_ms"], 100 * row["accuracy"]) for row in of)

    if line:
        axes.plot(*zip(*points(line), strict=True), color=BLUE, marker="o", markersize=5, label=f"{first}, pruned")
    if others:
        axes.plot(
            *zip(*points(others), strict=True), color=ORANGE, marker="s", linestyle="none", label="dense networks"
        )
    axes.set(xlabel="latency of a batch [ms]", ylabel=f"{held_out} accuracy [%]")
    axes.margins(x=0.12)  # room for names
    axes.grid(alpha=0.3)
    named = [*others, *(row for row in line if row["asked"] is None)]
    places = [(row["latency_ms"], 100 * row["accuracy"]) for row in named]
    name_points(axes, places, [row["network"] for row in named])
    legend_below(figure, *axes.get_legend_handles_labels())
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
