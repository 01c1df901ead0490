"""Pictures of networks whose channels were removed, and made up for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.utils.axes import legend_below, uncover
from secateur.utils.drawing import line_style, new_figure


def accuracies(rows: Sequence[dict[str, Any]], ways: Sequence[str], title: str, path: Path) -> None:
    """Accuracy against the share of channels removed: a panel for each criterion, a line for each of `ways`.

    The first of them is the network as it was, the same at every ratio.
    """
    criteria = list(dict.fromkeys(row["criterion"] for row in rows))
    figure = new_figure(max(3.6 * len(criteria), 6), 3.8)
    panels = figure.subplots(1, len(criteria), sharey=True, squeeze=False)[0]
    original, *others = ways
    for axes, criterion in zip(panels, criteria, strict=True):
        own = sorted((row for row in rows if row["criterion"] == criterion), key=lambda row: row["ratio"])
        axes.axhline(100 * own[0][original], color="black", linestyle=":", label=original)
        for number, way in enumerate(others):
            points = [(100 * row["ratio"], 100 * row[way]) for row in own]
            axes.plot(*zip(*points, strict=True), **line_style(number), label=way.replace("_", " "))
        axes.set(title=criterion, xlabel="channels removed [%]")
        axes.grid(alpha=0.3)
        uncover(axes)
    panels[0].set_ylabel("accuracy [%]")
    legend_below(figure, *panels[0].get_legend_handles_labels())
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
