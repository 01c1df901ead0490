"""What a figure says, as text: tests compare it with what their numbers make of it by hand."""

from unittest.mock import patch

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.ticker import FixedLocator


def figures_of(draw, *arguments):
    """The figures that a function saves, without the pictures."""
    saved = []
    with patch.object(Figure, "savefig", lambda self, *_, **__: saved.append(self)):
        draw(*arguments)
    return saved


def described(figure):
    """Lines of text: titles, then for each panel its axes and what is drawn, then the legends."""
    said = [f"title: {figure.get_suptitle()}"] if figure.get_suptitle() else []
    said += [f"below: {figure.get_supxlabel()}"] if figure.get_supxlabel() else []
    said += [f"left: {figure.get_supylabel()}"] if figure.get_supylabel() else []
    for axes in figure.axes:
        said += _panel(axes) if axes.axison else ["panel left empty"]
    for legend in figure.legends:
        said.append(f"legend in {legend._ncols}: {', '.join(text.get_text() for text in legend.get_texts())}")
    return said


def _panel(axes):
    said = [f"panel {axes.get_title()!r}: {axes.get_xlabel()!r} by {axes.get_ylabel()!r}"]
    for name in "xy":
        axis = getattr(axes, f"{name}axis")
        places = axis.get_ticklocs() if isinstance(axis.get_major_locator(), FixedLocator) else []
        labels = [tick.label1.get_text() for tick in axis.get_major_ticks(len(places))] if len(places) else []
        ticks = [f"{_number(place)}={label}" for place, label in zip(places, labels, strict=True)]
        limits = "" if getattr(axes, f"get_autoscale{name}_on")() else f" {_numbers(getattr(axes, f'get_{name}lim')())}"
        if ticks or limits or axis.get_scale() != "linear":
            said.append(f"  {name} {axis.get_scale()}{limits}{' ' if ticks else ''}{' '.join(ticks)}")
    for line in axes.lines:
        points = " ".join(map(_numbers, line.get_xydata()))
        said.append(f"  line {line.get_label()} {line.get_linestyle()}{line.get_marker()}: {points}")
    for one in axes.patches:
        if isinstance(one, StepPatch):
            counts, edges, _ = one.get_data()
            said.append(f"  stairs {one.get_label()}: {_numbers(counts)} between {_numbers(edges)}")
        elif isinstance(one, Rectangle):
            said.append(f"  bar at {_numbers(one.get_xy())}: {_numbers((one.get_width(), one.get_height()))}")
    said.extend(
        f"  image {_rows(image.get_array())} {image.get_cmap().name} {_numbers(image.get_clim())}"
        for image in axes.images
    )
    said.extend(f"  beside it: {child.get_xlabel()!r} by {child.get_ylabel()!r}" for child in axes.child_axes)
    said += [f"  text {_numbers(text.get_position())}: {text.get_text()!r}" for text in axes.texts]
    return [line.rstrip() for line in said]


def _rows(pixels):
    return "/".join(_numbers(row) for row in pixels.reshape(len(pixels), -1).tolist())


def _numbers(numbers):
    return f"({' '.join(map(_number, numbers))})"


def _number(number):
    return "--" if number is None else f"{float(number):.4g}"  # which is masked
