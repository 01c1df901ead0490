"""Which weights are kept, as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from matplotlib.axes import Axes
from torch import Tensor
from torch.nn import functional

from secateur.measuring.sparsity import shown_share
from secateur.utils.drawing import GREY, new_figure, small_map

#: Of more layers so many are shown, evenly spaced; of more kernels the first.
MOST_LAYERS, MOST_KERNELS = 6, 192


def pixels_read(networks: dict[str, Tensor], path: Path) -> None:
    """A row for each network: by channel, the number of kept weights of each input pixel, from (C, H, W)."""
    columns = max(len(counts) for counts in networks.values())
    figure = new_figure(max(3.2 * columns, 4.5), 2.8 * len(networks) + 0.5)
    grid = figure.subplots(len(networks), columns, squeeze=False)
    for axes_row, (label, counts) in zip(grid, networks.items(), strict=True):
        for number, axes in enumerate(axes_row):
            _show(axes, counts[number], f"{label}{f', channel {number}' if columns > 1 else ''}", vmin=0)
            figure.colorbar(axes.images[0], ax=axes, label="kept weights")
    figure.suptitle("kept weights of each input pixel in the first layer", fontsize=11)
    figure.savefig(path, dpi=120)


def classes(
    columns: dict[str, tuple[Tensor, list[Tensor]]], sparsities: Sequence[float], title: str, path: Path
) -> None:
    """A column for each class: its mean image (C, H, W), then for each sparsity the counts of kept weights (H, W)."""
    figure = new_figure(1.15 * len(columns) + 1.2, 1.25 * (len(sparsities) + 1) + 0.6)
    grid = figure.subplots(len(sparsities) + 1, len(columns), squeeze=False)
    for axes, (label, (mean, _)) in zip(grid[0], columns.items(), strict=True):
        _show(axes, mean.mean(0), label, cmap="gray", vmin=0)
    grid[0, 0].set_ylabel("mean image", fontsize=8)
    for number, sparsity in enumerate(sparsities):
        for axes, (_, counts) in zip(grid[number + 1], columns.values(), strict=True):
            most = int(counts[number].max())
            _show(axes, counts[number], "", vmin=0, vmax=max(most, 1))
            axes.set_xlabel(f"0 to {most}", fontsize=7, labelpad=2)
        grid[number + 1, 0].set_ylabel(f"{100 * sparsity:g}% pruned", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)


def kernels(networks: dict[str, Tensor], path: Path) -> None:
    """A row for each network: the kernels (O, I, kh, kw) of its first convolution, those of one output side by side."""
    figure = new_figure(9, 3.4 * len(networks) + 0.6)
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="black")
    panels = figure.subplots(len(networks), 1, squeeze=False)[:, 0]
    for axes, (label, weight) in zip(panels, networks.items(), strict=True):
        outputs = max(1, MOST_KERNELS // weight.shape[1])
        tiles, gaps = tiled(weight[:outputs].cpu())
        limit = float(tiles.abs().max()) or 1.0
        picture = torch.where(tiles == 0, torch.nan, tiles).numpy()
        rgba = colours((picture + limit) / (2 * limit))
        rgba[gaps.numpy()] = matplotlib.colors.to_rgba(GREY)
        axes.imshow(rgba, interpolation="nearest")
        shown = f", the first {outputs} outputs" if outputs < len(weight) else ""
        _bare(axes, f"{label}: {'x'.join(map(str, weight.shape))}{shown}")
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(-limit, limit), colours)
        figure.colorbar(scale, ax=axes, label="weight")
    figure.suptitle("kernels of the first layer; black: pruned", fontsize=11)
    figure.savefig(path, dpi=120)


def tiled(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Lay kernels (O, I, kh, kw) out in a grid about twice as wide as high, with gaps of one cell between them.

    Those of one output stand side by side. Returns the grid and where its gaps are.
    """
    outputs, inputs = weight.shape[:2]
    across = max(1, min(outputs, round(math.sqrt(2 * outputs * inputs) / inputs)))
    padded = functional.pad(weight, [0, 1, 0, 1], value=torch.nan)
    missing = -outputs % across
    padded = torch.cat([padded, padded.new_full((missing, *padded.shape[1:]), torch.nan)])
    grid = padded.unflatten(0, (-1, across)).permute(0, 3, 1, 2, 4).flatten(2).flatten(0, 1)[:-1, :-1]
    gaps = grid.isnan()
    return grid.nan_to_num(0.0), gaps


def kept_layers(networks: dict[str, dict[str, Tensor]], path: Path) -> None:
    """A row for each network: the share of kept weights in each layer, outputs down and inputs across."""
    shown = {label: _spaced(masks) for label, masks in networks.items()}
    columns = max(map(len, shown.values()))
    figure = new_figure(max(2.6 * columns, 4) + 0.8, 2.5 * len(shown) + 0.7)
    grid = figure.subplots(len(shown), columns, squeeze=False)
    for axes_row, (label, masks) in zip(grid, shown.items(), strict=True):
        for axes in axes_row[len(masks) :]:
            axes.axis("off")
        for axes, (name, mask) in zip(axes_row, masks.items(), strict=False):
            density = shown_share(float(mask.float().mean()), "%")
            small = small_map(mask.float())
            _show(axes, small, f"{name} {'x'.join(map(str, mask.shape))}\n{density} kept", vmin=0, aspect="auto")
            figure.colorbar(axes.images[0], ax=axes)
        left_out = f"\n{len(masks)} of its {len(networks[label])} layers" if len(masks) < len(networks[label]) else ""
        axes_row[0].set_ylabel(label + left_out, fontsize=8)
    figure.suptitle("share of the weights that are kept: outputs down, inputs across", fontsize=11)
    figure.savefig(path, dpi=100)


def _spaced(masks: dict[str, Tensor]) -> dict[str, Tensor]:
    if len(masks) <= MOST_LAYERS:
        return masks
    names = list(masks)
    chosen = [names[round(number * (len(names) - 1) / (MOST_LAYERS - 1))] for number in range(MOST_LAYERS)]
    return {name: masks[name] for name in chosen}


def _show(axes: Axes, picture: Tensor, title: str, **options: object) -> None:
    axes.imshow(picture.numpy(), **{"cmap": "viridis", "interpolation": "nearest", **options})
    _bare(axes, title)


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
