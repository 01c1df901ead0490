"""The critical-difference diagram (Demšar, 2006, figure 1): mean ranks on a line, and bars over what is alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secateur.reports.comparisons import Ranking
from secateur.reports.inference import Ranks
from secateur.reports.panels import Picture, add_title, plain
from secateur.utils.drawing import BLUE, new_figure

#: Inches from one name, or bar, to the next; what stands above the names; and the width.
ROW, BAR, ABOVE, WIDTH = 0.24, 0.1, 0.75, 6.5


def rank_pictures(found: Sequence[Ranking]) -> Iterator[Picture]:
    """A diagram for each network and its data, and one for all of them, of those that could be ranked."""
    ranked = [(one.scope.name, one.ranks) for one in found if one.ranks]
    for number, (name, ranks) in enumerate(ranked, start=1):
        caption = (
            f"{name}: mean ranks over {ranks.blocks} blocks of a seed, a compression, a network and its data; 1 is "
        )
        caption += "the best. "
        if ranks.differ:
            caption += f"A bar joins methods that are not distinguishable (critical difference {ranks.critical:.2f}, "
            caption += "Nemenyi, at 0.05)."
        else:
            caption += f"The methods are not distinguishable (Friedman, p = {ranks.p:.2g})."
        yield Picture(f"ranks_{number}", caption, rank_diagram(name, ranks))


def rank_diagram(title: str, ranks: Ranks) -> Figure:
    """Names to both sides of an axis of ranks, the best half on the left, and below the axis a bar for each set."""
    names, count = list(ranks.mean), len(ranks.mean)
    sets = [alike for alike in ranks.alike if len(alike) > 1]
    left = math.ceil(count / 2)
    bars = BAR * (len(sets) + 1)
    height = bars + ROW * left
    figure = new_figure(WIDTH, ABOVE + height + 0.4)
    axes = figure.subplots()
    axes.set(xlim=(1, count), ylim=(-height, 0))
    axes.xaxis.tick_top()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("mean rank", fontsize=9)
    axes.set_yticks([])
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    reach = 0.02 * (count - 1)
    for place, name in enumerate(names):
        first_half = place < left
        depth = -bars - ROW * ((place if first_half else count - 1 - place) + 0.5)
        end, align = (1 - reach, "right") if first_half else (count + reach, "left")
        rank = ranks.mean[name]
        axes.plot([rank, rank, end], [0, depth, depth], color="black", linewidth=0.8, clip_on=False)
        axes.annotate(
            f"{plain(name)} {rank:.2f}",
            (end, depth),
            xytext=(-3 if first_half else 3, 0),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    for number, alike in enumerate(sets, start=1):
        ends = [ranks.mean[alike[0]], ranks.mean[alike[-1]]]
        axes.plot(ends, [-BAR * number] * 2, color=BLUE, linewidth=3, solid_capstyle="butt")
    add_title(figure, title)
    return figure
