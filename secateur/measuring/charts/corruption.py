"""Accuracy by corruption, and what the corruptions look like."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from secateur.data.corruption_strengths import LEVELS, STRENGTHS
from secateur.data.corruptions import corrupt
from secateur.utils.axes import legend_below, uncover
from secateur.utils.drawing import line_style, new_figure
from secateur.utils.seeds import seeded_generator


def curves(clean: dict[str, float], found: dict[str, dict[str, list[float]]], title: str, path: Path) -> None:
    """A panel for each corruption, with a line for each network: accuracy by level, 0 being the images as they are."""
    names = list(next(iter(found.values())))
    columns = min(len(names), 4)
    rows = math.ceil(len(names) / columns)
    figure = new_figure(max(3 * columns, 5), 2.6 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    for axes, name in zip(panels, names, strict=False):
        for number, (label, levels_of) in enumerate(found.items()):
            shares = [100 * accuracy for accuracy in (clean[label], *levels_of[name])]
            axes.plot((0, *LEVELS), shares, label=label, **line_style(number))
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set(xlabel="level", ylim=(-3, 103))
        axes.set_xticks((0, *LEVELS))
        axes.grid(alpha=0.3)
        uncover(axes)
    for axes in panels[::columns]:
        axes.set_ylabel("accuracy [%]")
    for axes in panels[len(names) :]:
        axes.axis("off")
    legend_below(figure, *panels[0].get_legend_handles_labels())
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def examples(image: Tensor, names: list[str], seed: int, path: Path) -> None:
    """One image (1, C, H, W) in [0, 1], as it is and under each corruption at each level."""
    image = image.cpu()
    columns = len(LEVELS) + 1
    figure = new_figure(1.3 * columns + 0.8, 1.45 * len(names) + 0.5)
    for axes_row, name in zip(figure.subplots(len(names), columns, squeeze=False), names, strict=True):
        strengths, unit = STRENGTHS[name]
        generator = seeded_generator(seed, f"example of {name}")
        shown = [image, *(corrupt(image, name, level, generator) for level in LEVELS)]
        captions = ["as it is", *(f"{strength:g}" for strength in strengths)]
        for axes, picture, caption in zip(axes_row, shown, captions, strict=True):
            pixels = picture[0].permute(1, 2, 0).numpy()
            axes.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=1)
            axes.set_title(caption, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
        axes_row[0].set_ylabel(f"{name.replace('_', ' ')}\n({unit})", fontsize=7)
    figure.suptitle("one image under corruptions, level 1 to 5", fontsize=11)
    figure.savefig(path, dpi=120)
