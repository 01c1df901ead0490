"""Scales, sizes and order of the figures that draw one measure by another."""

from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from secateur.reports import panels
from secateur.reports.measure_figures import _sparsity_above, beyond_error, measure_lines, pareto
from secateur.reports.measures import ACCURACY, COMPRESSION, FLOPS, LATENCY, NODES, Measure
from secateur.reports.panels import add_legend, add_title, by_error, most_run, panel_grid
from tests.figures import described
from tests.secateur.reports.handmade import dense, made

STYLES = {
    line: {"color": "black", "marker": "o", "linestyle": "-"} for line in ("EmptyCrit", "A", "b", "EmptyCrit, like it")
}


def at(limit, accuracies, line="A", **more):
    return made(line, accuracies, f"{limit}", limit=limit, weight_sparsity=limit, **more)


def test_points_are_joined_from_left_to_right_and_upwards():
    groups = [at(0.95, (0.5,)), at(0.5, (0.8,)), at(0.75, (0.6,)), at(0.75, (0.4,))]
    assert described(measure_lines(groups, COMPRESSION, ACCURACY, STYLES)) == [
        "panel 'Net on Data': 'compression: dense weights for each that is kept' by 'accuracy [%]'",
        "  x log",
        "  line _nolegend_ -o: (2 80) (4 40) (4 60) (20 50)",
        "  beside it: 'weights pruned' by ''",
        "legend in 1: A",
    ]


def test_what_was_not_measured_of_either_is_not_drawn():
    groups = [at(0.5, (0.8,)), at(0.75, (None,)), made("b", (0.5,))]
    (axes,) = measure_lines(groups, COMPRESSION, ACCURACY, STYLES).axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[2, 80]]]
    assert measure_lines(groups[1:], COMPRESSION, ACCURACY, STYLES) is None


def test_pruned_channels_are_drawn_where_any_were():
    groups = [
        dense((0.9,), node_sparsity=0.0),
        made("A", (0.5,), node_sparsity=0.0),
        made("b", (0.6,), node_sparsity=0.25),
    ]
    assert described(measure_lines(groups, NODES, ACCURACY, STYLES)) == [
        "panel 'Net on Data': 'hidden units and channels pruned [%]' by 'accuracy [%]'",
        "  line _child0 --None: (0 90) (1 90)",
        "  line _nolegend_ -o: (0 50)",
        "  line _nolegend_ -o: (25 60)",
        "legend in 3: dense, A, b",
    ]
    assert measure_lines(groups[:2], NODES, ACCURACY, STYLES) is None


def test_the_dense_network_alone_is_a_line_and_takes_part_in_the_scales():
    (axes,) = measure_lines([dense((0.5,), weight_sparsity=0.0)], COMPRESSION, ACCURACY, STYLES).axes
    assert (axes.get_xscale(), axes.get_yscale(), len(axes.lines)) == ("linear", "linear", 1)
    (axes,) = measure_lines([dense((0.96,), weight_sparsity=0.0), at(0.5, (0.6,))], COMPRESSION, ACCURACY, STYLES).axes
    assert axes.get_yscale() == "function"  # errors of 4 and 40 %


@pytest.mark.parametrize(
    ("x", "y", "scales", "tick"),
    [
        (COMPRESSION, ACCURACY, ("log", "function"), "10x"),
        (FLOPS, ACCURACY, ("log", "function"), "10"),
        (COMPRESSION, LATENCY[1], ("log", "log"), "10x"),
    ],
)
def test_scales_are_logarithmic_where_values_span_a_decade(x, y, scales, tick):
    groups = [
        at(0.5, (0.99,), flops_effective=20_000_000, latency_ms_batch_1=1.0),
        at(0.95, (0.5,), flops_effective=2_000_000, latency_ms_batch_1=20.0),
    ]
    (axes,) = measure_lines(groups, x, y, STYLES).axes
    assert (axes.get_xscale(), axes.get_yscale()) == scales
    assert axes.xaxis.get_major_formatter()(10) == tick
    assert axes.yaxis.get_major_formatter()(10) == "10"
    assert axes.title.get_fontsize() == 10
    assert len(axes.child_axes) == (x is COMPRESSION)


def test_identical_lines_are_both_seen():
    groups = [at(limit, (0.5,), line) for line in ("A", "b") for limit in (0.5, 0.75)]
    (axes,) = measure_lines(groups, COMPRESSION, ACCURACY, STYLES).axes
    under, over = axes.lines
    assert under.get_linewidth() > over.get_linewidth()


def test_panels_stand_three_side_by_side():
    groups = [at(0.5, (0.5,), panel=f"p{number}") for number in range(4)]
    figure = measure_lines(groups, COMPRESSION, ACCURACY, STYLES)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == ["p0", "p1", "p2", "p3"]
    assert all(len(axes.lines) == 1 for axes in figure.axes[:4])
    legend = 0.1 + 0.21
    assert figure.get_size_inches().tolist() == pytest.approx([3 * 5.2, 2 * 3.9 + 0.2 + legend])


@pytest.mark.parametrize(("high", "labels"), [(10, ["0%", "50%", "90%"]), (9.9, ["0%", "50%"])])
def test_above_the_axis_ticks_lie_within_it_ends_included(high, labels):
    axes = Figure().subplots()
    axes.set_xticks([0.5, 1, 2, 10, 20])
    axes.set_xlim(1, high)
    _sparsity_above(axes)
    (above,) = axes.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == labels
    assert isinstance(above.xaxis.get_minor_locator(), NullLocator)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        # standard deviations of 2 and 1; means of 2 and 6, then 6.5
        (((0, 2, 4), (5, 6, 7)), False),
        (((0, 2, 4), (5.5, 6.5, 7.5)), True),
        (((0, 2, 4), (6.5,)), True),
        (((2,), (100,)), False),
        (((-4, 4, None), (0, 0, 0)), False),
    ],
)
def test_a_measure_is_drawn_where_it_differs_by_more_than_twice_its_largest_error(values, drawn):
    groups = [SimpleNamespace(panel="p", runs=those) for those in values]
    other = [SimpleNamespace(panel="q", runs=those) for those in ((0, 0), (1, 1))]
    measure = Measure("m", "m", lambda run: run)
    assert beyond_error([*groups, *other], measure) == [*(groups if drawn else []), *other]


def fast(accuracy, speed, line="A", **more):
    times = {"latency_dense_ms_batch_1": speed, "latency_ms_batch_1": 1.0}
    return made(line, (accuracy,), f"{speed}x", **times, **more)


def test_the_front_of_each_panel_goes_in_steps():
    groups = [fast(0.99, 2.0), fast(0.5, 4.0), fast(0.4, 3.0, "b"), fast(None, 9.0), made("b", (0.9,))]
    groups += [fast(0.6, 5.0, panel=name) for name in ("second", "third")]
    figure = pareto(groups, STYLES)
    assert figure.get_size_inches().tolist() == pytest.approx([2 * 5.2, 2 * 3.9 + 0.2 + 0.1 + 0.21])
    first, second, third, empty = figure.axes
    assert not empty.axison
    assert [axes.get_title() for axes in (first, second, third)] == [
        f"{name}, 1 image at a time" for name in ("Net on Data", "second", "third")
    ]
    front = first.lines[3]
    assert front.get_xydata().tolist() == [[2, 99], [4, 50]]
    assert front.get_drawstyle() == "steps-pre"
    assert (first.get_yscale(), second.get_yscale()) == ("function", "linear")
    assert first.lines[4].get_xdata() == [1, 1]
    assert first.title.get_fontsize() == 10
    assert [text.get_text() for text in first.texts] == ["2.0x", "4.0x", "3.0x"]
    assert pareto([made("b", (0.9,))], STYLES) is None


def test_accuracies_by_the_error_have_these_ticks():
    (axes,) = panel_grid(1, 3, 3)[1]
    axes.plot([0, 1], [0, 99])
    by_error(axes, [0, 99])
    assert axes.yaxis.get_majorticklocs().tolist() == [0, 50, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9]
    assert axes.yaxis.get_major_formatter().format_ticks([0, 50, 99.5]) == ["0", "50", "99.5"]
    assert axes.get_ylim() == pytest.approx((0, 100 - 1 / 1.3))
    assert axes.get_ylabel() == ""
    transform = axes.yaxis.get_transform()
    assert transform.transform([0, 90, 99.9, 100]).tolist() == pytest.approx([-2, -1, 1, 2])
    assert transform.inverted().transform([-2, -1, 1, 2]).tolist() == pytest.approx([0, 90, 99.9, 99.99])


def test_so_much_is_shown_at_once():
    shown = (panels.MOST_COLUMNS, panels.MOST_LAYERS, panels.MOST_SIDE_BY_SIDE, panels.MOST_PANELS, panels.MOST_LINES)
    assert shown == (6, 24, 4, 12, 24)


@pytest.mark.parametrize(("networks", "lines", "kept"), [(13, 1, 12), (1, 25, 24), (12, 1, 12), (1, 24, 24)])
def test_panels_and_lines_are_counted_each(networks, lines, kept):
    groups = [made(f"l{line}", (0.5,), panel=f"p{network}") for network in range(networks) for line in range(lines)]
    shown, said = most_run(groups)
    assert (len(shown), bool(said)) == (kept, kept < len(groups))


def test_the_title_is_at_the_left_and_the_legend_names_dense_first():
    figure, (axes,) = panel_grid(1, 9, 3)
    add_title(figure, "$x$")
    assert (figure.get_suptitle(), figure._suptitle.get_position()[0]) == (r"\$x\$", 0.01)
    (line,) = axes.plot([0, 1])
    add_legend(figure, dict.fromkeys(("b", "EmptyCrit, as EmptyCrit", "C", "EmptyCrit", "A"), line))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "dense",
        "A",
        "b",
        "C",
        "dense, as EmptyCrit",
    ]
