"""Pictures made to be read: labelled axes, units, colours that the colour-blind can tell apart (after Okabe & Ito)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

BLUE, ORANGE, GREY = "#0069B0", "#C08A00", "#BBBBBB"
#: Colours and markers of things drawn side by side, as networks: those of Okabe & Ito without yellow, darker or lighter
#: where that is needed for a contrast of 2.8 with white and with the dark page of a report. Black becomes its text's.
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#C23B00", "#4A9FE0", "#000000")
MARKERS = "osD^vPX*"
#: A weight map is not drawn larger than this; larger weights are averaged down to it.
MAP_SIZE = 256


@dataclass
class ScoreHistogram:
    """The distribution of scores at one pruning step; edges and counts over a logarithm of the score."""

    title: str
    #: What has the scores: weights, units.
    unit: str
    #: The logarithm.
    scale: str
    #: Scores of zero, where the logarithm does not show them.
    at_zero: int
    edges: list[float]
    kept: list[float]
    pruned: list[float]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure  # here, because a run begins sooner without it

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.07, h_pad=0.07)  # inches between panels
    return figure


def curves(rows: Sequence[dict[str, float]], held_out: str, title: str, path: Path) -> None:
    """Loss, accuracy and sparsity over the epochs."""
    from secateur.utils.axes import uncover

    figure = new_figure(10, 3.3)
    loss, accuracy, sparsity = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]

    def draw(axes: Axes, key: str, label: str, colour: str, factor: float = 1) -> None:
        points = [(epoch, row[key] * factor) for epoch, row in zip(epochs, rows, strict=True) if row[key] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 40 else None)

    draw(loss, "train_loss", "train", ORANGE)
    draw(loss, f"{held_out}_loss", held_out, BLUE)
    loss.set(xlabel="epoch", ylabel="loss", title="loss")
    draw(accuracy, "train_accuracy", "train", ORANGE, 100)
    draw(accuracy, f"{held_out}_accuracy", held_out, BLUE, 100)
    accuracy.set(xlabel="epoch", ylabel="accuracy [%]", title="accuracy")
    draw(sparsity, "weight_sparsity", "weights", BLUE, 100)
    draw(sparsity, "node_sparsity", "units", ORANGE, 100)
    sparsity.set(xlabel="epoch", ylabel="pruned [%]", title="sparsity", ylim=(-3, 103))
    for axes in (loss, accuracy, sparsity):
        uncover(axes)
        axes.legend()
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            axes.set_xticks(epochs)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def confusion(counts: Tensor, title: str, path: Path) -> None:
    """The confusion matrix (K, K): what each class was taken for, in per cent of its images."""
    share = 100 * counts / counts.sum(1, keepdim=True).clamp(min=1)
    classes = len(counts)
    size = 5.5 if classes <= 20 else 8
    figure = new_figure(size, size * 0.85)
    axes = figure.subplots()
    image = axes.imshow(share.numpy(), cmap="viridis", vmin=0, vmax=100)
    figure.colorbar(image, label="share of the class's images [%]")
    if classes <= 20:
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        for row in range(classes):
            for column in range(classes):
                if counts[row, column]:
                    colour = "white" if share[row, column] < 60 else "black"
                    axes.text(column, row, int(counts[row, column]), ha="center", va="center", color=colour, fontsize=7)
    accuracy = float(counts.diagonal().sum() / counts.sum().clamp(min=1))
    axes.set(xlabel="predicted class", ylabel="true class", title=f"{title}: {accuracy:.2%} right")
    figure.savefig(path, dpi=120)


def score_histograms(steps: Sequence[ScoreHistogram], criterion: str, path: Path, most: int = 12) -> None:
    """The scores at each pruning step (at `most` of them, evenly spaced), kept and pruned."""
    from secateur.utils.axes import label_outside, legend_below, log_ticks

    if len(steps) > most:
        steps = [steps[round(number * (len(steps) - 1) / (most - 1))] for number in range(most)]
    columns = min(len(steps), 4)
    rows = math.ceil(len(steps) / columns)
    figure = new_figure(max(3.2 * columns, 5) + 1, 2.4 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    for axes, step in zip(panels, steps, strict=False):
        axes.stairs(step.pruned, step.edges, fill=True, color=ORANGE, alpha=0.8, label="pruned")
        axes.stairs(step.kept, step.edges, fill=True, color=BLUE, alpha=0.8, label="kept")
        axes.set_yscale("log")
        zeros = f"\nwithout {step.at_zero:,} of score 0" if step.at_zero else ""
        axes.set_title(step.title + zeros, fontsize=9)
    for axes in panels[len(steps) :]:
        axes.axis("off")
    log_ticks(panels[0].yaxis)
    unit = " and ".join(dict.fromkeys(step.unit for step in steps))
    figure.suptitle(f"{criterion}: scores of the prunable {unit}")
    label_outside(panels[: len(steps)], columns, steps[-1].scale, unit)
    legend_below(figure, *panels[0].get_legend_handles_labels())
    figure.savefig(path, dpi=120)


def layers_left(sizes: dict[str, int], nonzero: dict[str, int], title: str, path: Path) -> None:
    """What is left of each layer, in weights and in per cent."""
    from secateur.utils.axes import legend_below, log_ticks

    figure = new_figure(8, 0.8 + 0.28 * max(len(sizes), 3))
    axes = figure.subplots()
    positions = range(len(sizes))
    axes.barh(positions, list(sizes.values()), color=GREY, label="dense")
    axes.barh(positions, list(nonzero.values()), color=BLUE, label="kept")
    axes.set_xscale("log")
    axes.set_yticks(positions, list(sizes))
    axes.invert_yaxis()
    for position, (name, size) in zip(positions, sizes.items(), strict=True):
        axes.annotate(f" {100 * nonzero[name] / size:.3g}%", (size, position), va="center", fontsize=8)
    axes.set(xlabel="weights", title=f"{title}: weights of each layer", xlim=(1, max(sizes.values()) * 6))
    log_ticks(axes.xaxis)
    legend_below(figure, *axes.get_legend_handles_labels())
    figure.savefig(path, dpi=120)


def line_style(number: int) -> dict[str, Any]:
    """How the line of a thing is drawn, going by its number: seven colours, and other markers, which repeat later."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 5}


def small_map(weight: Tensor, most: int = MAP_SIZE) -> Tensor:
    """A weight as a picture, outputs down, inputs (with their kernel) across, averaged down to at most that size."""
    import torch  # here, because reports draw without it

    matrix = weight.flatten(1)
    size = tuple(min(extent, most) for extent in matrix.shape)
    return torch.nn.functional.adaptive_avg_pool2d(matrix[None], size)[0].cpu()


def weight_maps(weights: dict[str, Tensor], title: str, path: Path) -> None:
    """Each layer's weights as a picture, outputs down, inputs (with their kernel) across; white is zero."""
    columns = min(len(weights), 4)
    rows = math.ceil(len(weights) / columns)
    figure = new_figure(3.2 * columns, 2.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, weight) in zip(panels, weights.items(), strict=False):
        small = small_map(weight).numpy()
        limit = float(abs(small).max()) or 1.0
        image = axes.imshow(small, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        figure.colorbar(image, ax=axes)
        axes.set_title(f"{name} {tuple(weight.shape)}", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in panels[len(weights) :]:
        axes.axis("off")
    figure.suptitle(f"{title}: weights, outputs down, inputs across")
    figure.savefig(path, dpi=100)
