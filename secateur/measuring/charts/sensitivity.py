"""A picture of what each layer's pruning costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.utils.drawing import new_figure

#: The panels: what a row calls it, and how it is headed.
PANELS = {"accuracy": "as pruned", "recalibrated_accuracy": "after batch-norm recalibration"}
#: Up to so many layers cells have numbers.
MOST_NUMBERS = 40


def heat_map(rows: Sequence[dict[str, Any]], held_out: str, title: str, path: Path) -> None:
    """Accuracy by layer, downwards, and sparsity, across: as pruned, and after recalibration."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    sparsities = sorted({row["sparsity"] for row in rows})
    longest = max(map(len, layers))
    figure = new_figure(2 * (0.62 * len(sparsities) + 1.2) + 0.09 * longest + 1.6, 0.26 * max(len(layers), 4) + 1.6)
    panels = figure.subplots(1, 2, sharey=True)
    highest = max(100 * row[name] for row in rows for name in PANELS)
    for axes, (name, heading) in zip(panels, PANELS.items(), strict=True):
        cells = {(row["layer"], row["sparsity"]): 100 * row[name] for row in rows}
        grid = [[cells.get((layer, sparsity), float("nan")) for sparsity in sparsities] for layer in layers]
        image = axes.imshow(grid, cmap="viridis", vmin=0, vmax=highest, aspect="auto")
        axes.set_xticks(range(len(sparsities)), [f"{100 * sparsity:g}" for sparsity in sparsities])
        axes.set_yticks(range(len(layers)), layers, fontsize=8)
        axes.set(xlabel="layer's sparsity [%]", title=heading)
        axes.title.set_fontsize(10)
        for row, line in enumerate(grid if len(layers) <= MOST_NUMBERS else ()):
            for column, value in enumerate(line):
                colour = "white" if value < 0.6 * highest else "black"
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=7)
    panels[0].set_ylabel("layer")
    figure.colorbar(image, ax=panels, label=f"{held_out} accuracy [%]")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
