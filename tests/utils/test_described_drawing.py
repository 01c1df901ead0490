"""Every line, label and scale of the pictures of a run."""

import pytest
import torch
from matplotlib.colors import to_hex

from secateur.utils import drawing
from tests.figures import described, figures_of


def row(epoch, **changes):
    return {
        "epoch": epoch, "train_loss": 2.0, "train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 0.25,
        "weight_sparsity": 0.9, "node_sparsity": 0.1, **changes,
    }  # fmt: skip


def test_curves():
    (figure,) = figures_of(drawing.curves, [row(1), row(2, train_loss=1.0, test_accuracy=None)], "test", "Net", None)
    assert described(figure) == [
        "title: Net",
        "panel 'loss': 'epoch' by 'loss'",
        "  line train -.: (1 2) (2 1)",
        "  line test -.: (1 1) (2 1)",
        "panel 'accuracy': 'epoch' by 'accuracy [%]'",
        "  line train -.: (1 50) (2 50)",
        "  line test -.: (1 25)",
        "panel 'sparsity': 'epoch' by 'pruned [%]'",
        "  y linear (-3 103)",
        "  line weights -.: (1 90) (2 90)",
        "  line units -.: (1 10) (2 10)",
    ]
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert [tick for tick in axes.get_xticks() if 1 <= tick <= 2] == [1, 2]
        assert [to_hex(line.get_color()).upper() for line in axes.lines] in (
            [drawing.ORANGE, drawing.BLUE],
            [drawing.BLUE, drawing.ORANGE],
        )


@pytest.mark.parametrize(("epochs", "marker"), [(39, "."), (40, "None")])
def test_of_forty_epochs_on_points_have_no_marker(epochs, marker):
    (figure,) = figures_of(drawing.curves, [row(epoch) for epoch in range(epochs)], "test", "Net", None)
    assert {line.get_marker() for axes in figure.axes for line in axes.lines} == {marker}


def test_of_one_epoch_there_is_one_tick_and_identical_lines_are_both_seen():
    (figure,) = figures_of(drawing.curves, [row(7, test_accuracy=0.5)], "test", "Net", None)
    assert [axes.get_xticks().tolist() for axes in figure.axes] == [[7]] * 3
    under, over = figure.axes[1].lines
    assert under.get_markersize() > over.get_markersize()


@pytest.mark.parametrize(("classes", "size", "numbers"), [(20, 5.5, 20), (21, 8, 0)])
def test_up_to_twenty_classes_have_numbers(classes, size, numbers):
    (figure,) = figures_of(drawing.confusion, torch.eye(classes, dtype=torch.int64), "Net", None)
    axes, bar = figure.axes
    assert figure.get_size_inches().tolist() == pytest.approx([size, size * 0.85])
    assert len(axes.texts) == numbers
    assert (len(axes.get_xticks()) == 20, len(axes.get_yticks()) == 20) == (numbers == 20,) * 2
    assert bar.get_ylabel() == "share of the class's images [%]"
    assert axes.get_title() == "Net: 100.00% right"


def test_confusion():
    counts = torch.tensor([[6, 4], [3, 1]])
    (figure,) = figures_of(drawing.confusion, counts, "Net", None)
    assert described(figure)[:6] == [
        "panel 'Net: 50.00% right': 'predicted class' by 'true class'",
        "  x linear 0= 1=",
        "  y linear 0= 1=",
        "  image (60 40)/(75 25) viridis (0 100)",
        "  text (0 0): '6'",
        "  text (1 0): '4'",
    ]
    assert [text.get_color() for text in figure.axes[0].texts] == ["black", "white", "black", "white"]


def step(number, **changes):
    fields = {"title": f"step {number}", "unit": "units", "scale": "log10", "at_zero": 0}
    fields |= {"edges": [-2.0, -1.0, 0.0], "kept": [0, 2000], "pruned": [5, 1]}
    return drawing.ScoreHistogram(**fields | changes)


def test_scores():
    steps = [step(0, unit="weights", at_zero=1234), *map(step, range(1, 5)), step(5, scale="signed")]
    (figure,) = figures_of(drawing.score_histograms, steps, "SNIP", None)
    bars = ["  y log", "  stairs pruned: (5 1) between (-2 -1 0)", "  stairs kept: (0 2000) between (-2 -1 0)"]
    titles = [r"step 0\nwithout 1,234 of score 0", *(f"step {number}" for number in range(1, 6))]
    x, y = ["", "", "signed", "signed", "signed", "signed"], ["weights and units", "", "", "", "weights and units", ""]
    assert described(figure) == [
        "title: SNIP: scores of the prunable weights and units",
        *(
            line
            for title, across, up in zip(titles, x, y, strict=True)
            for line in (f"panel '{title}': {across!r} by {up!r}", *bars)
        ),
        "panel left empty",
        "panel left empty",
        "legend in 2: pruned, kept",
    ]
    first, second, *_ = figure.axes
    assert first.get_shared_y_axes().joined(first, second)
    assert first.yaxis.get_major_formatter()(1000) == "1,000"
    assert [(patch.get_fill(), to_hex(patch.get_facecolor()).upper()) for patch in first.patches] == [
        (True, drawing.ORANGE),
        (True, drawing.BLUE),
    ]


def test_layers_left():
    (figure,) = figures_of(drawing.layers_left, {"a": 500, "b": 20_000}, {"a": 5, "b": 20_000}, "Net", None)
    assert described(figure) == [
        "panel 'Net: weights of each layer': 'weights' by ''",
        "  x log (1 1.2e+05)",
        "  y linear 0=a 1=b",
        "  bar at (0 -0.4): (500 0.8)",
        "  bar at (0 0.6): (2e+04 0.8)",
        "  bar at (0 -0.4): (5 0.8)",
        "  bar at (0 0.6): (2e+04 0.8)",
        "  text (500 0): ' 1%'",
        "  text (2e+04 1): ' 100%'",
        "legend in 2: dense, kept",
    ]
    (axes,) = figure.axes
    assert axes.xaxis.get_major_formatter()(10_000) == "10,000"


def test_maps_of_weights():
    weights = {f"layer{number}": torch.tensor([[0.5, -2.0]]) for number in range(5)}
    (figure,) = figures_of(drawing.weight_maps, weights, "Net", None)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert figure.get_suptitle() == "Net: weights, outputs down, inputs across"
    assert [axes.get_title() for axes in panels] == [*(f"layer{number} (1, 2)" for number in range(5)), "", "", ""]
    assert [axes.axison for axes in panels] == [True] * 5 + [False] * 3
    assert [axes.images[0].get_clim() for axes in panels[:5]] == [(-2, 2)] * 5
    assert len(figure.axes) == 8 + 5
    assert figure.get_size_inches().tolist() == pytest.approx([4 * 3.2, 2 * 2.8])
    assert all(len(axes.get_xticks()) == len(axes.get_yticks()) == 0 for axes in panels[:5])


@pytest.mark.parametrize(
    ("shape", "small"), [((3, 5), (3, 5)), ((300, 5), (256, 5)), ((2, 30, 3, 3), (2, 256)), ((257, 300), (256, 256))]
)
def test_a_map_is_no_larger_than_256_a_side(shape, small):
    assert tuple(drawing.small_map(torch.zeros(shape)).shape) == small


def test_a_new_figure_has_room_between_its_panels():
    figure = drawing.new_figure(3, 2)
    padding = figure.get_layout_engine().get()
    assert (padding["w_pad"], padding["h_pad"]) == (0.07, 0.07)
    assert figure.get_size_inches().tolist() == [3, 2]


def test_lines_go_through_seven_colours_and_eight_markers():
    assert [drawing.line_style(number) for number in (0, 8, 15)] == [
        {"color": "#0069B0", "marker": "o", "markersize": 5},
        {"color": "#C08A00", "marker": "o", "markersize": 5},
        {"color": "#C08A00", "marker": "*", "markersize": 5},
    ]
