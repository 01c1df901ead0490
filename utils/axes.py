"""Axes that can be read: ticks of one form, lines that do not hide one another, a legend that covers nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogLocator, NullLocator

#: Lines nearer than this, in points of 1/72 inch, are on top of one another.
NEAR = 1.0
#: A line is made wider by so much for each line that lies on it, and its markers; of more lines than `MOST` by no more.
WIDER, LARGER, MOST = 2.5, 4.0, 4
#: Of a legend: characters an inch, those that a line's sample takes, and inches a row.
CHARACTERS, SAMPLE, ROW = 11, 7, 0.21


class TickText(Formatter):
    """Numbers of one form along an axis: 1,000; 1k and 1M where it reaches a million; 1e-5 where it goes below 1e-4."""

    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix
        #: Of the ticks of a linear axis, as many as the one that needs most.
        self.decimals = 0

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The texts of all ticks."""
        self.decimals = max((len(f"{value:.10g}".partition(".")[2]) for value in values), default=0)
        return [self(value) for value in values]

    def __call__(self, value: float, pos: int | None = None) -> str:
        """The text of one tick."""
        low, high = sorted(map(abs, self.axis.get_view_interval()))
        if high >= 1e6:
            power = min(3 * (int(math.log10(abs(value))) // 3), 12) if abs(value) >= 1e3 else 0
            return f"{value / 10**power:.6g}{ {0: '', 3: 'k', 6: 'M', 9: 'G', 12: 'T'}[power] }{self.suffix}"
        if self.axis.get_scale() == "log" and 0 < low < 1e-4 and value:
            return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") + self.suffix
        if self.axis.get_scale() == "log":
            return f"{value:,.10g}{self.suffix}"
        return f"{value:,.{self.decimals}f}{self.suffix}"


def log_ticks(axis: Any, suffix: str = "") -> None:
    """Ticks of a logarithmic axis, or one that is so beyond some value: 1, 2, 5 or powers of ten, as there is room."""
    axis.set_minor_locator(NullLocator())
    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low)
        subs = range(1, 10) if decades < 0.6 else (1, 2, 5) if 3 * decades <= axis.get_tick_space() else (1,)
        axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(TickText(suffix))


def uncover(axes: Axes) -> None:
    """Widen every line by what lies on it, so that of identical lines each is seen; after all of them are drawn."""
    lines = [
        (line, dict(zip(line.get_xdata(), axes.transData.transform(line.get_xydata())[:, 1], strict=True)))
        for line in axes.lines
        if line.get_transform() == axes.transData and line.get_linestyle() != "None" and len(line.get_xydata())
    ]
    near = NEAR * axes.figure.dpi / 72
    for number, (line, ups) in enumerate(lines):
        covered = min(sum(_lies_on(upper, ups, near) for _, upper in lines[number + 1 :]), MOST)
        if covered:
            line.set_linewidth(line.get_linewidth() + WIDER * covered)
            line.set_markersize(line.get_markersize() + LARGER * covered)


def _lies_on(upper: dict[float, float], lower: dict[float, float], near: float) -> bool:
    """Whether half the points of a line, {x: y}, or more lie on those of another."""
    same = [x for x in lower if x in upper and abs(lower[x] - upper[x]) < near]
    return 2 * len(same) >= max(len(lower), 2) or (len(lower) == 1 == len(same))


def label_outside(panels: Sequence[Axes], columns: int, x: str, y: str) -> None:
    """Name the axes of panels that stand in so many columns at the lowest of each column and the first of each row."""
    for axes in panels[max(len(panels) - columns, 0) :]:
        axes.set_xlabel(x)
    for axes in panels[::columns]:
        axes.set_ylabel(y)


def name_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write a name beside each point, on that side of it which is furthest from other points and the names before it.

    After the limits of the axes are set.
    """
    scale = 72 / axes.figure.dpi
    places = axes.transData.transform(points) * scale
    taken = [tuple(place) for place in places]
    for point, (x, y), name in zip(points, places, names, strict=True):
        half = 2.2 * len(name)  # of its width

        def crowd(side: tuple[int, int], x: float = x, y: float = y, half: float = half) -> float:
            middle = x + side[0] * (1 + half / 4), y + side[1]
            outside = not axes.bbox.x0 * scale < middle[0] - half < middle[0] + half < axes.bbox.x1 * scale
            near = sum(math.exp(-math.hypot((middle[0] - a) / 12, (middle[1] - b) / 6)) for a, b in taken)
            return near + 10 * outside

        right, up = min(((4, 5), (4, -5), (-4, 5), (-4, -5)), key=crowd)
        taken.append((x + right * (1 + half / 4), y + up))
        axes.annotate(
            name, point, (right, up), textcoords="offset points", fontsize=7, va="center",
            ha="left" if right > 0 else "right",
        )  # fmt: skip


def legend_below(figure: Figure, handles: Sequence[Any], names: Sequence[str], place: str = "center") -> None:
    """One legend for all panels, below them, in as many columns as the names leave room for.

    There it can cover no title. The figure becomes higher by it.
    """
    if not names:
        return
    room = int(CHARACTERS * figure.get_figwidth() // (SAMPLE + max(map(len, names))))
    columns = max(1, min(room, len(names)))
    figure.set_figheight(figure.get_figheight() + 0.1 + ROW * math.ceil(len(names) / columns))
    figure.legend(handles, names, loc=f"outside lower {place}", ncols=columns, fontsize=9, frameon=False)
