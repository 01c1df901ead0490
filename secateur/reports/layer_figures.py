"""Figures of the layers: how much of each is kept, and which weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from safetensors import SafetensorError, safe_open

from secateur.reports.collect import RunRecord
from secateur.reports.groups import DENSE, Group, mean
from secateur.reports.panels import (
    MOST_COLUMNS,
    MOST_LAYERS,
    MOST_SIDE_BY_SIDE,
    Picture,
    add_legend,
    add_title,
    panel_grid,
    plain,
    spaced,
    targets_of,
)
from secateur.utils.axes import label_outside, log_ticks, uncover
from secateur.utils.errors import one_line
from secateur.utils.text import printable


def layer_densities(panel: str, groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Density of each layer in the order of the network: a panel for each target, a line for each of the groups'."""
    there = [one for one in groups if one.runs[0].densities and not one.line.startswith(DENSE)]
    if not there:
        return None
    targets = spaced(targets_of(there), MOST_COLUMNS)
    layers = list(dict.fromkeys(name for one in there for name in one.runs[0].densities))
    figure, all_axes = panel_grid(len(targets), max(3.4, 0.16 * min(len(layers), MOST_LAYERS) + 1.5), 3.6)
    named: dict[str, Any] = {}
    for axes, target in zip(all_axes, targets, strict=True):
        for one in there:
            if one.target == target:
                means = [mean(run.densities.get(name) for run in one.runs) for name in layers]
                points = [(place, 100 * share.value) for place, share in enumerate(means) if share and share.value]
                if points:
                    (drawn,) = axes.plot(*zip(*points, strict=True), **styles[one.line])
                    named.setdefault(one.line, drawn)
        axes.set_yscale("log")
        axes.set(ylabel="weights kept [%]", xlim=(-0.4, len(layers) - 0.6))
        axes.set_title(plain(target), fontsize=10)
        places = spaced(range(len(layers)), MOST_LAYERS)
        axes.set_xticks(places, [plain(layers[place]) for place in places], rotation=60, ha="right", fontsize=7)
        axes.grid(alpha=0.3)
        log_ticks(axes.yaxis)
        uncover(axes)
    add_title(figure, panel)
    add_legend(figure, named)
    return figure


def weight_histograms(
    panel: str, groups: Sequence[Group], styles: dict[str, dict], number: int, problems: list[str]
) -> Iterator[Picture]:
    """The kept weights of each layer, of one run of each line, where most lines meet, of such nearest to 10x."""
    by_target: dict[str, list[tuple[Group, RunRecord]]] = {}
    for one in groups:
        run = next((run for run in one.runs if run.checkpoint), None)
        if run:
            by_target.setdefault(one.target, []).append((one, run))
    if not by_target:
        return
    target = max(by_target, key=lambda key: (len(by_target[key]), -abs(by_target[key][0][0].strength[0] - 0.9)))
    weights = {one.line: found for one, run in by_target[target] if (found := _kept_weights(run, problems))}
    layers = spaced(list(dict.fromkeys(name for found in weights.values() for name in found)), MOST_LAYERS)
    if not layers:
        return
    figure, all_axes = panel_grid(len(layers), 3.6, 2.6)
    named: dict[str, Any] = {}
    for axes, layer in zip(all_axes, layers, strict=True):
        there = {line: found[layer] for line, found in weights.items() if layer in found and found[layer].size}
        limit = max((float(np.quantile(np.abs(kept), 0.999)) for kept in there.values()), default=1.0)
        for line, kept in there.items():
            counts, edges = np.histogram(kept, bins=50, range=(-limit, limit))
            named.setdefault(
                line, axes.stairs(counts, edges, color=styles[line]["color"], linestyle=styles[line]["linestyle"])
            )
        axes.set_title(plain(layer), fontsize=9)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        log_ticks(axes.yaxis)
        axes.grid(alpha=0.3)
    label_outside(all_axes, MOST_SIDE_BY_SIDE, "weight that is not zero", "weights")
    add_title(figure, f"{panel}, {target}")
    add_legend(figure, named)
    seeds = sorted({str(run.settings.get("seed")) for _, run in by_target[target]})
    caption = f"{panel}: the weights that are kept of each layer at {target}, of one run of each line (seed"
    yield Picture(f"weights_{number}", f"{caption}{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}).", figure)


def _kept_weights(run: RunRecord, problems: list[str]) -> dict[str, np.ndarray]:
    """The weights that are not zero of each prunable layer of a finished network; none where it cannot be read."""
    try:
        with safe_open(run.checkpoint, "np") as file:
            names = set(file.keys())
            found = {
                layer: file.get_tensor(name)
                for layer in run.densities
                for name in (f"{layer}.weight", f"{layer}.weight/values")  # these are packed: runs/tensor_file.py
                if name in names
            }
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        problems.append(printable(f"{run.checkpoint}: {one_line(error)}"))
        return {}
    return {layer: weight[weight != 0].astype(np.float32) for layer, weight in found.items()}
