"""Pictures of the layers of networks, side by side."""

from __future__ import annotations

import math
from pathlib import Path

from secateur.measuring.layers import WeightHistogram
from secateur.utils.axes import label_outside, legend_below, log_ticks, uncover
from secateur.utils.drawing import line_style, new_figure

#: Sparsities that the axis names, in per cent.
TICKS = (0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99)


def layer_sparsity(kept: dict[str, dict[str, float]], title: str, path: Path) -> None:
    """The sparsity of each layer: a line for each network, whose `kept` shares are given by layer.

    The axis is logarithmic in what is kept, so that 98 % and 99 % are as far apart as 0 and 50 %; a layer that has
    lost everything is at its top.
    """
    layers = list(dict.fromkeys(layer for shares in kept.values() for layer in shares))
    least = min((share for shares in kept.values() for share in shares.values() if share), default=1.0)
    lost = any(share == 0 for shares in kept.values() for share in shares.values())
    top = min(least, 0.5) / 2
    figure = new_figure(max(0.42 * len(layers), 6) + 1, 4.8)
    axes = figure.subplots()
    for number, (label, shares) in enumerate(kept.items()):
        points = [(layers.index(layer), max(share, top)) for layer, share in shares.items()]
        axes.plot(*zip(*points, strict=True), **line_style(number), label=label)
    axes.set_yscale("log")
    axes.set_ylim(1.15, top * (0.9 if lost else 1.2))
    ticks = [tick for tick in TICKS if 1 - tick / 100 > top * 1.3]
    places, names = [1 - tick / 100 for tick in ticks], [f"{tick:g}" for tick in ticks]
    axes.set_yticks([*places, top] if lost else places, [*names, "100"] if lost else names)
    axes.set_yticks([], minor=True)
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 6 else 0, fontsize=8)
    axes.set(xlabel="layer", ylabel="sparsity [%]")
    axes.grid(alpha=0.3)
    uncover(axes)
    if len(kept) > 1:
        legend_below(figure, *axes.get_legend_handles_labels())
    figure.suptitle(f"{title}: sparsity of each layer")
    figure.savefig(path, dpi=120)


def weights_of_layers(histograms: dict[str, WeightHistogram], title: str, path: Path) -> None:
    """How the weights of each layer are spread: a panel for each, a line for each network in it.

    Zeros, which would tower above all else, are left out, and counted in the order of the lines.
    """
    labels = list(dict.fromkeys(label for histogram in histograms.values() for label in histogram.counts))
    styles = {label: line_style(number)["color"] for number, label in enumerate(labels)}
    columns = min(len(histograms), 4)
    rows = math.ceil(len(histograms) / columns)
    figure = new_figure(max(3.2 * columns, 7), 2.7 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    drawn = {}
    for axes, (name, histogram) in zip(panels, histograms.items(), strict=False):
        for label, counts in histogram.counts.items():
            alone = {"fill": True} if len(labels) == 1 else {}
            drawn[label] = axes.stairs(counts, histogram.edges, color=styles[label], **alone)
        axes.set_yscale("symlog", linthresh=1, linscale=0.4)
        axes.set_ylim(bottom=0)
        gone = ", ".join(f"{histogram.gone[label]:,}" for label in histogram.counts)
        axes.set_title(f"{name}\nleft out: {gone}", fontsize=8)
        log_ticks(axes.yaxis)
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="x", nbins=5)
    for axes in panels[len(histograms) :]:
        axes.axis("off")
    if len(labels) > 1:
        legend_below(figure, list(drawn.values()), list(drawn))
    figure.suptitle(f"{title}: weights of each layer, without those that are zero or removed")
    label_outside(panels[: len(histograms)], columns, "weight", "weights")
    figure.savefig(path, dpi=120)
