"""Ticks of one form, lines that are seen, legends that cover nothing."""

import itertools

import pytest

from secateur.measuring.charts import layers, merging, sparsification
from secateur.measuring.layers import WeightHistogram
from secateur.utils import drawing
from secateur.utils.axes import legend_below, log_ticks, name_points, uncover
from secateur.utils.drawing import new_figure
from tests.figures import figures_of


def ticks(low, high, scale, suffix="", height=4):
    figure = new_figure(4, height)
    axes = figure.subplots()
    axes.set(yscale=scale, ylim=(low, high))
    log_ticks(axes.yaxis, suffix)
    figure.draw_without_rendering()
    return [
        tick.label1.get_text()
        for tick in axes.yaxis.get_major_ticks()
        if low <= tick.get_loc() <= high and tick.label1.get_text()
    ] + [tick.label1.get_text() for tick in axes.yaxis.get_minor_ticks()]


def test_an_axis_that_is_turned_round_has_the_same_ticks():
    found = []
    for ends in ((1, 1000), (1000, 1)):
        axes = new_figure(4, 6).subplots()
        axes.set(yscale="log", ylim=ends)
        log_ticks(axes.yaxis)
        found.append([tick for tick in axes.get_yticks() if 1 <= tick <= 1000])
    assert found == [[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]] * 2


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (1, 100, ["1", "2", "5", "10", "20", "50", "100"]),
        (20, 60, ["20", "30", "40", "50", "60"]),
        (0.1, 20, ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20"]),
        (500, 2e6, ["500", "1k", "2k", "5k", "10k", "20k", "50k", "100k", "200k", "500k", "1M", "2M"]),
        (1, 1e9, ["1", "100", "10k", "1M", "100M"]),
        (1e-6, 1e-3, ["1e-6", "2e-6", "5e-6", "1e-5", "2e-5", "5e-5", "1e-4", "2e-4", "5e-4", "1e-3"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_have_one_form(low, high, wanted):
    assert ticks(low, high, "log") == wanted


def test_a_low_panel_has_fewer_ticks_and_a_linear_axis_as_many_decimals_everywhere():
    assert ticks(1, 1000, "log", height=2) == ["1", "10", "100", "1,000"]
    assert ticks(0.056, 0.064, "linear") == [f"0.0{number}" for number in range(56, 65)]
    assert ticks(1, 2, "linear", "x", height=2.5)[:2] == ["1.0x", "1.2x"]


@pytest.mark.parametrize("dpi", [50, 100, 400])
def test_of_lines_on_one_another_each_is_seen(dpi):
    figure = new_figure(4, 3)
    figure.set_dpi(dpi)
    axes = figure.subplots()
    ups = {"under": [1, 2, 3], "over": [1, 2, 3.001], "elsewhere": [300, 2, 1], "meets": [1.0, 5]}
    lines = {name: axes.plot(range(len(up)), up, "o-", label=name)[0] for name, up in ups.items()}
    before = lines["over"].get_linewidth()
    uncover(axes)
    widths = [lines[name].get_linewidth() - before for name in ups]
    assert widths == [2.5, 0, 0, 0]
    assert lines["under"].get_markersize() == lines["over"].get_markersize() + 4


def test_of_many_identical_lines_none_becomes_a_blot():
    axes = new_figure(4, 3).subplots()
    lines = [axes.plot([1, 2], [1, 2], linewidth=1)[0] for _ in range(16)]
    uncover(axes)
    assert [line.get_linewidth() for line in lines] == pytest.approx([1 + count / 2 for count in range(15, -1, -1)])


def test_names_of_points_stay_inside_and_off_one_another():
    figure = new_figure(4, 3)
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    points = [(9.9, 5), (5, 5), (5, 5.01), (5.01, 5)]
    name_points(axes, points, ["right at the border", "a", "b", "c"])
    assert axes.texts[0].get_ha() == "right"
    places = {(text.get_ha(), text.get_position()) for text in axes.texts[1:]}
    assert len(places) == 3


@pytest.mark.parametrize(("name", "side"), [("short", "left"), ("a name of 25 characters ab", "right")])
def test_a_long_name_turns_away_from_the_border_before_a_short_one(name, side):
    axes = new_figure(4, 3).subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    name_points(axes, [(7, 5)], [name])
    assert axes.texts[0].get_ha() == side


ROW = {"criterion": "l1", "ratio": 0.5, "original": 0.9, "pruned": 0.1, "merged": 0.6}
LONG = "ResNet20 and a network of a very long name on DIGITS without training, by everything there is"
STEP = drawing.ScoreHistogram("epoch 0, weights to 0.9", "weights", "log10", 28, [0, 1, 2], [0, 9], [9, 0])
FIGURES = {
    "merging": (merging.accuracies, [ROW, ROW | {"criterion": "l2"}], ("original", "pruned", "merged"), LONG),
    "layer_sparsity": (layers.layer_sparsity, {"SNIP": {"a": 0.5, "b": 0.1}, "Magnitude": {"a": 0.5}}, LONG),
    "layer_weights": (
        layers.weights_of_layers,
        {"a": WeightHistogram([-1, 0, 1], {"SNIP": [1, 2], "Magnitude": [3, 1]}, {"SNIP": 3, "Magnitude": 4})},
        LONG,
    ),
    "saliency": (drawing.score_histograms, [STEP] * 5, LONG),
    "sparsification": (
        sparsification.methods,
        [{"method": "mag", "sparsity": 0.5, "accuracy": 0.8, "repaired_accuracy": 0.7}], "test", LONG,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_legend_covers_neither_titles_nor_labels_nor_panels(name):
    draw, *arguments = FIGURES[name]
    (figure,) = figures_of(draw, *arguments, None)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    panels = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
    others = [figure._suptitle.get_window_extent(), *panels]
    assert not any(box.overlaps(other) for other in others)
    assert not any(one.shrunk(0.99, 0.99).overlaps(other) for one, other in itertools.pairwise(others))
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_a_legend_of_many_names_makes_the_figure_higher_and_none_leaves_it():
    figure = new_figure(5, 3)
    (line,) = figure.subplots().plot([1])
    legend_below(figure, [], [])
    assert (figure.legends, figure.get_figheight()) == ([], 3)
    legend_below(figure, [line] * 9, [f"a name of 20 letters{number}" for number in range(9)])
    assert figure.get_figheight() == pytest.approx(3 + 0.1 + 9 * 0.21)
