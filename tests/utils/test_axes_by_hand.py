"""Ticks, lines and names on axes whose data are points of 1/72 inch, so that every distance is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from secateur.utils.axes import TickText, label_outside, legend_below, log_ticks, name_points, uncover

#: Points of the figure.
WIDTH, HEIGHT = 400, 300


@pytest.fixture(params=[72, 144])
def axes(request):
    """Axes that fill their figure, with a datum for each point."""
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=request.param)
    found = figure.add_axes((0, 0, 1, 1))
    found.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    return found


@pytest.mark.parametrize(
    ("scale", "interval", "value", "text"),
    [
        ("log", (1, 1000), 1000, "1,000x"),
        ("log", (1000, 1), 0.25, "0.25x"),
        ("log", (1, 999_999), 1000, "1,000x"),
        ("log", (1, 1_000_000), 999, "999x"),
        ("log", (1, 1_000_000), 1000, "1kx"),
        ("log", (1_000_000, 1), 25_000, "25kx"),
        ("log", (1, 1e7), 2_500_000, "2.5Mx"),
        ("log", (1, 1e10), 1e9, "1Gx"),
        ("log", (1, 1e20), 1e12, "1Tx"),
        ("log", (1, 1e20), 1e17, "100000Tx"),
        ("linear", (-2e6, 1), -1000, "-1kx"),
        ("linear", (0, 1e6), 0, "0x"),
        ("log", (0.0001, 1), 0.0001, "0.0001x"),
        ("log", (0.00009, 1), 0.0001, "1e-4x"),
        ("log", (0.00009, 1), 1, "1e0x"),
        ("log", (1e-12, 1), 1e-11, "1e-11x"),
        ("linear", (0.00001, 1), 0.25, "0x"),
        ("linear", (0, 1), 1234, "1,234x"),
        ("symlog", (0.00001, 1), 3, "3x"),
        ("log", (0, 1), 0.5, "0.5x"),
        ("log", (0.00001, 1), 0, "0x"),
    ],
)
def test_a_number_on_an_axis_has_one_form(scale, interval, value, text):
    form = TickText("x")
    form.axis = SimpleNamespace(get_view_interval=lambda: interval, get_scale=lambda: scale)
    assert form(value) == text


def test_all_ticks_of_a_linear_axis_have_the_decimals_of_the_one_that_needs_most():
    form = TickText()
    form.axis = SimpleNamespace(get_view_interval=lambda: (0, 1), get_scale=lambda: "linear")
    assert form.format_ticks([0, 0.5, 0.125]) == ["0.000", "0.500", "0.125"]
    assert form.format_ticks([]) == []
    assert form(3) == "3"


@pytest.mark.parametrize(
    ("ends", "space", "wanted"),
    [
        ((1, 3.9), 1, [1, 2, 3]),
        ((1, 4), 1, [1]),
        ((1, 4), 2, [1, 2]),
        ((1, 100), 6, [1, 2, 5, 10, 20, 50, 100]),
        ((1, 100), 5, [1, 10, 100]),
        ((9, 1), 3, [1, 2, 5]),
        ((5, 9.5), 1, [5, 6, 7, 8, 9]),
    ],
)
def test_a_logarithmic_axis_has_as_many_ticks_as_there_is_room_for(axes, ends, space, wanted):
    axes.set(yscale="log", ylim=ends)
    axes.yaxis.get_tick_space = lambda: space
    log_ticks(axes.yaxis, "%")
    assert [round(tick, 9) for tick in axes.get_yticks() if min(ends) <= tick <= max(ends)] == wanted
    assert isinstance(axes.yaxis.get_minor_locator(), NullLocator)
    assert axes.yaxis.get_major_formatter()(2) == "2%"


def test_a_linear_axis_keeps_its_ticks(axes):
    before = axes.yaxis.get_major_locator()
    log_ticks(axes.yaxis)
    assert axes.yaxis.get_major_locator() is before
    assert axes.yaxis.get_major_formatter()(2) == "2"


@pytest.mark.parametrize(
    ("lower", "upper", "covered"),
    [
        ({10: 50, 20: 60}, {10: 50.99, 20: 59.01}, True),
        ({10: 50, 20: 60}, {10: 51, 20: 60}, False),
        ({10: 50, 20: 60}, {10: 49, 20: 60}, False),
        ({10: 50}, {10: 50}, True),
        ({10: 50}, {11: 50}, False),
        ({10: 50, 20: 60, 30: 70, 40: 80}, {10: 50, 20: 60}, True),
        ({10: 50, 20: 60, 30: 70, 40: 80}, {10: 50, 20: 65, 30: 75}, False),
        ({10: 50, 20: 60, 30: 70, 40: 80, 50: 90}, {10: 50, 20: 60}, False),
        ({10: 50, 20: 60}, {10: 50, 20: 60, 30: 70, 40: 80}, True),
    ],
)
def test_a_line_is_widened_where_another_lies_on_half_of_its_points(axes, lower, upper, covered):
    lines = [axes.plot(list(line), list(line.values()), linewidth=1, markersize=3)[0] for line in (lower, upper)]
    uncover(axes)
    assert [line.get_linewidth() for line in lines] == [1 + 2.5 * covered, 1]
    assert [line.get_markersize() for line in lines] == [3 + 4 * covered, 3]


def test_of_many_lines_the_lowest_is_widest_and_none_more_than_so_much(axes):
    lines = [axes.plot([1, 2], [1, 2], linewidth=1, markersize=3)[0] for _ in range(5)]
    uncover(axes)
    assert [line.get_linewidth() for line in lines] == pytest.approx([1 + count * 7.5 / 4 for count in (4, 3, 2, 1, 0)])
    assert [line.get_markersize() for line in lines] == pytest.approx([3 + count * 2.5 for count in (4, 3, 2, 1, 0)])


def test_points_alone_and_lines_across_do_not_count(axes):
    line = axes.plot([0, 1], [9, 9], linewidth=1)[0]
    axes.axhline(9)
    axes.plot([0, 1], [9, 9], "o", linestyle="none")
    axes.plot([], [])
    uncover(axes)
    assert line.get_linewidth() == 1
    empty = Figure().subplots()
    uncover(empty)
    assert len(empty.lines) == 0


def test_lines_are_compared_as_they_will_be_seen():
    axes = Figure(figsize=(4, 3), dpi=72).subplots()
    under = axes.plot([1, 2], [0, 1000], linewidth=1)[0]
    axes.plot([1, 2], [0.1, 1000.1], linewidth=1)
    uncover(axes)  # before anything has been drawn
    assert under.get_linewidth() == 3.5


@pytest.mark.parametrize(
    ("count", "columns", "below", "beside"),
    [(5, 3, [2, 3, 4], [0, 3]), (2, 3, [0, 1], [0]), (6, 3, [3, 4, 5], [0, 3]), (3, 1, [2], [0, 1, 2])],
)
def test_outer_panels_have_labels(count, columns, below, beside):
    panels = list(Figure().subplots(1, count, squeeze=False).flatten())
    label_outside(panels, columns, "x", "y")
    assert [number for number, axes in enumerate(panels) if axes.get_xlabel() == "x"] == below
    assert [number for number, axes in enumerate(panels) if axes.get_ylabel() == "y"] == beside


@pytest.mark.parametrize(
    ("width", "longest", "count", "columns", "rows"),
    [(5, 20, 9, 2, 5), (5, 4, 9, 5, 2), (5, 4, 3, 3, 1), (2, 40, 3, 1, 3), (3, 4, 6, 3, 2)],
)
def test_a_legend_has_as_many_columns_as_its_names_leave_room_for(width, longest, count, columns, rows):
    figure = Figure(figsize=(width, 3), layout="constrained")
    (line,) = figure.subplots().plot([1])
    legend_below(figure, [line] * count, ["x" * longest, *["y"] * (count - 1)], "left")
    (legend,) = figure.legends
    assert (legend._ncols, legend.get_frame_on()) == (columns, False)
    assert figure.get_figheight() == pytest.approx(3 + 0.1 + 0.21 * rows)


def sides(axes):
    return [tuple(text.get_position()) for text in axes.texts]


@pytest.mark.parametrize(
    ("points", "names", "wanted"),
    [
        ([(200, 150)], ["ab"], [(4, 5)]),
        ([(200, 150), (203, 157)], ["ab", "c"], [(-4, -5), (4, 5)]),
        ([(200, 150), (203, 143)], ["ab", "c"], [(-4, 5), (4, -5)]),
        ([(200, 150), (197, 157)], ["ab", "c"], [(4, -5), (-4, 5)]),
        ([(200, 150), (197, 143)], ["ab", "c"], [(4, 5), (-4, -5)]),
        # a name of ten letters is 44 wide, and its middle 4 + 22 from the point
        ([(351, 150)], ["x" * 10], [(4, 5)]),
        ([(352.5, 150)], ["x" * 10], [(-4, 5)]),
        ([(48.5, 150)], ["x" * 10], [(4, 5)]),
    ],
)
def test_a_name_stands_where_no_point_is(axes, points, names, wanted):
    name_points(axes, points, names)
    assert sides(axes) == wanted
    assert [text.xy for text in axes.texts] == points
    assert [text.get_ha() for text in axes.texts] == ["left" if right > 0 else "right" for right, _ in wanted]


def test_axes_begin_where_they_do_and_not_where_the_figure_does(axes):
    axes.set_position((0.25, 0, 0.75, 1))
    axes.set_xlim(100, WIDTH)
    # To the left the name of ten letters would reach from 72 to 116, and to the right it would be near two points.
    name_points(axes, [(120, 150), (146, 155), (146, 145)], ["x" * 10, "", ""])
    assert sides(axes)[0][0] > 0


@pytest.mark.parametrize(("crowd", "inside"), [(8, True), (9, False)])
def test_a_name_leaves_the_axes_only_where_ten_points_would_be_on_it(axes, crowd, inside):
    # Its middle would be 26 to the right, where so many points are; those on the other side of the height count 0.19.
    name_points(axes, [(10, 150), *[(36, 155), (36, 145)] * crowd], ["x" * 10, *["", ""] * crowd])
    assert (sides(axes)[0][0] > 0) is inside


def test_names_of_a_crowd_stand_where_they_always_stood(axes):
    generator = np.random.default_rng(0)
    points = [tuple(point) for point in generator.uniform((150, 120), (250, 180), (40, 2)).tolist()]
    name_points(axes, points, ["x" * (number % 7) for number in range(40)])
    shown = "".join({(4, 5): "a", (4, -5): "b", (-4, 5): "c", (-4, -5): "d"}[side] for side in sides(axes))
    assert shown == CROWD


CROWD = "ddbdcbadadcaaadbdccbdcddcbbcdbbdccbaccaa"
