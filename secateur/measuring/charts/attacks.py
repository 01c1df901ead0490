"""Pictures of attacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from secateur.utils.axes import legend_below, uncover
from secateur.utils.drawing import GREY, line_style, new_figure

#: One a network.
LINES = ("-", "--", ":", "-.")


def robustness(rows: Sequence[dict[str, Any]], noise: set[str], title: str, path: Path) -> None:
    """Robust accuracy against epsilon: a panel for each norm, a line for each network and attack; `noise` is grey."""
    rows = [row for row in rows if math.isfinite(row["epsilon"])]
    norms = list(dict.fromkeys(row["norm"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    if not rows:
        return
    figure = new_figure(max(4.6 * len(norms), 6), 4.2)
    panels = figure.subplots(1, len(norms), sharey=True, squeeze=False)[0]
    for axes, norm in zip(panels, norms, strict=True):
        for number, attack in enumerate(attacks):
            for place, network in enumerate(networks):
                own = [row for row in rows if (row["norm"], row["attack"], row["network"]) == (norm, attack, network)]
                if own:
                    points = [(row["epsilon"], 100 * row["robust"]) for row in own if row["epsilon"] > 0]
                    axes.plot(
                        *zip((0, 100 * own[0]["clean"]), *points, strict=True),
                        **line_style(number) | ({"color": GREY} if attack in noise else {}),
                        linestyle=LINES[place % len(LINES)],
                        label=attack if len(networks) == 1 else f"{attack}, {network}",
                    )
        _scale(axes, sorted({row["epsilon"] for row in rows if row["norm"] == norm and row["epsilon"] > 0}), norm)
        unit = "values" if norm == "L0" else "of pixels in [0, 1]"
        axes.set(xlabel=f"epsilon, {norm} norm {unit}", title=norm, ylim=(-3, 103))
        axes.grid(alpha=0.3)
        uncover(axes)
    panels[0].set_ylabel("robust accuracy [%]")
    named = {name: line for axes in panels for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    legend_below(figure, list(named.values()), list(named))
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _scale(axes: Axes, epsilons: list[float], norm: str) -> None:
    """A logarithmic axis that begins at 0, with a tick at each epsilon, in levels of 8-bit pixels where it is whole."""
    if not epsilons:
        return
    axes.set_xscale("symlog", linthresh=epsilons[0], linscale=0.5)
    levels = [255 * epsilon for epsilon in epsilons]
    labels = [
        f"{level:.0f}/255" if norm == "Linf" and abs(level - round(level)) < 1e-6 and level < 255 else f"{epsilon:.3g}"
        for level, epsilon in zip(levels, epsilons, strict=True)
    ]
    axes.set_xticks([0, *epsilons], ["0", *labels], fontsize=8, rotation=45)
    axes.set_xticks([], minor=True)


def adversarial_images(
    originals: Tensor, adversarial: Tensor, classes: Sequence[tuple[int, int]], title: str, path: Path
) -> None:
    """Images (N, C, H, W) in [0, 1], what was added to them, and the sum; `classes` before and after it."""
    number = len(originals)
    figure = new_figure(max(1.5 * number, 5), 5.4)
    grid = figure.subplots(3, number, squeeze=False)
    for column in range(number):
        change = adversarial[column] - originals[column]
        largest = float(change.abs().max())
        before, after = classes[column]
        _draw(grid[0][column], originals[column], f"class {before}")
        _draw(grid[1][column], 0.5 + change / (2 * largest or 1), f"± {largest:.3g}", cmap="RdBu")
        _draw(grid[2][column], adversarial[column], f"taken for {after}")
    for axes, label in zip(grid[:, 0], ("image", "change, enlarged", "adversarial image"), strict=True):
        axes.set_ylabel(label, fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)


def _draw(axes: Axes, image: Tensor, title: str, cmap: str = "gray") -> None:
    """One image (C, H, W) in [0, 1]; what is neither grey nor in three colours is drawn by its mean."""
    shown = image.permute(1, 2, 0) if len(image) == 3 else image.mean(0)
    axes.imshow(torch.clamp(shown, 0, 1).numpy(), cmap=cmap, vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=8)
    axes.set(xticks=[], yticks=[])
