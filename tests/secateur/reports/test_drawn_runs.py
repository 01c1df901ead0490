"""Figures of the layers and of training: sizes, scales and what they leave out."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from secateur.reports.layer_figures import layer_densities, weight_histograms
from secateur.reports.training_figures import training_curves
from tests.figures import described
from tests.secateur.reports.handmade import dense, made

STYLES = {line: {"color": "black", "marker": "o", "linestyle": "-"} for line in ("EmptyCrit", "A", "b")}
LEGEND = 0.1 + 0.21


def test_layers_without_weights_leave_gaps():
    groups = [
        dense((0.9,), densities={"one": 1.0}),
        made("A", (0.5,), densities={"one": 0.5, "two": 0.0, "three": 0.25}),
        made("b", (0.5,), densities={"one": 0.5, "three": 0.25, "four": 0.125}),
        made("b", (0.5,), "20x", limit=0.95),
    ]
    figure = layer_densities("Net", groups, STYLES)
    assert described(figure) == [
        "title: Net",
        "panel '10x': '' by 'weights kept [%]'",
        "  x linear (-0.4 3.4) 0=one 1=two 2=three 3=four",
        "  y log",
        "  line _child0 -o: (0 50) (2 25)",
        "  line _child1 -o: (0 50) (2 25) (3 12.5)",
        "legend in 2: A, b",
    ]
    (axes,) = figure.axes
    assert axes.yaxis.get_major_formatter()(10) == "10"
    assert axes.lines[0].get_linewidth() > axes.lines[1].get_linewidth()
    assert figure.get_size_inches().tolist() == pytest.approx([3.4, 3.6 + 0.2 + LEGEND])
    assert layer_densities("Net", groups[:1], STYLES) is None


@pytest.mark.parametrize(("number", "width", "ticks"), [(24, 0.16 * 24 + 1.5, 24), (40, 0.16 * 24 + 1.5, 24)])
def test_more_layers_make_wider_panels_up_to_24_names(number, width, ticks):
    groups = [made("A", (0.5,), f"{limit}", limit=limit, densities=dict.fromkeys(map(str, range(number)), 0.5))
              for limit in range(7)]  # fmt: skip
    figure = layer_densities("Net", groups, STYLES)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == ["0", "1", "2", "4", "5", "6"]
    assert figure.get_size_inches().tolist() == pytest.approx([4 * width, 2 * 3.6 + 0.2 + LEGEND])
    assert len(figure.axes[0].get_xticks()) == ticks


@pytest.fixture
def stored(tmp_path):
    """A group whose only run, of this seed, has these weights in a checkpoint."""

    def make(line, limit, seed, **layers):
        group = made(line, (0.5,), f"{limit}", limit=limit, densities=dict.fromkeys(layers, 0.5))
        run = group.runs[0]
        run.folder, run.settings["seed"] = tmp_path / f"{line}_{limit}", seed
        (run.folder / "models").mkdir(parents=True)
        tensors = {f"{layer}.weight": np.array(values, np.float32) for layer, values in layers.items()}
        save_file(tensors, run.folder / "models" / "Net_finished.safetensors")
        return group

    return make


def test_the_weights_of_each_layer_are_counted_between_the_largest(stored):
    groups = [
        stored("A", 0.9, 2, one=[0, 0.5, 0.5, -0.25], two=[0.0, 0.0]),
        stored("b", 0.9, 10, one=[0.125, 0.125], three=[1.0, 1.0]),
    ]
    (picture,) = weight_histograms("Net", groups, STYLES, 3, [])
    assert picture.name == "weights_3"
    assert picture.caption == (
        "Net: the weights that are kept of each layer at 0.9, of one run of each line (seeds 10, 2)."
    )
    figure = picture.figure
    said = described(figure)
    assert [line.partition(" (")[0] for line in said if "stairs" not in line] == [
        "title: Net, 0.9",
        "panel 'one': 'weight that is not zero' by 'weights'", "  y symlog",
        "panel 'two': 'weight that is not zero' by ''", "  y symlog",
        "panel 'three': 'weight that is not zero' by ''", "  y symlog",
        "legend in 2: A, b",
    ]  # fmt: skip
    one, two, three = figure.axes
    counts, edges, _ = one.patches[0].get_data()
    assert (len(counts), counts[49], counts[12], counts.sum()) == (50, 2, 1, 3)  # -0.25 is half way to the left
    assert edges[[0, -1]].tolist() == [-0.5, 0.5]
    counts, edges, _ = one.patches[1].get_data()
    assert (counts[31], edges[-1]) == (2, 0.5)  # 0.125 / 0.02 = 6.25 to the right of the middle
    assert (len(two.patches), len(three.patches)) == (0, 1)
    assert {axes.yaxis.get_transform().linthresh for axes in figure.axes} == {1}
    assert {(axes.get_ylim()[0], axes.get_autoscaley_on()) for axes in figure.axes} == {(0, False)}
    assert one.yaxis.get_major_formatter()(1000) == "1,000"
    assert figure.get_size_inches().tolist() == pytest.approx([3 * 3.6, 2.6 + 0.2 + LEGEND])


def test_of_targets_with_as_many_lines_it_is_the_nearest_to_10x(stored):
    (picture,) = weight_histograms("Net", [stored("A", 0.75, 1, one=[1]), stored("A", 0.95, 1, one=[1])], STYLES, 1, [])
    assert picture.caption.endswith(" at 0.95, of one run of each line (seed 1).")


def test_without_a_network_or_a_layer_there_is_no_figure(stored):
    assert list(weight_histograms("Net", [made("A", (0.5,))], STYLES, 1, [])) == []
    assert list(weight_histograms("Net", [stored("A", 0.9, 1)], STYLES, 1, [])) == []


def test_a_network_that_cannot_be_read_is_a_problem(stored):
    group, problems = stored("A", 0.9, 1, one=[1]), []
    path = group.runs[0].folder / "models" / "Net_finished.safetensors"
    path.write_bytes(b"no tensors")
    assert list(weight_histograms("Net", [group], STYLES, 1, problems)) == []
    (problem,) = problems
    assert problem.startswith(f"{path}: ")


def trained(group, *tables):
    """Give the runs of a group their epochs: rows of (epoch, loss, accuracy)."""
    for run, rows in zip(group.runs, tables, strict=True):
        run.epochs = [dict(zip(("epoch", "train_loss", "test_accuracy"), row, strict=False)) for row in rows]
    return group


def test_training_is_the_mean_at_each_epoch_in_order():
    group = trained(made("A", (0.5, 0.5)), [(1, 8.0, 0.0), (3, 2.0, 0.99)], [(2, 4.0), (3, 1.0)])
    figure = training_curves("Net", [group], STYLES)
    assert described(figure) == [
        "title: Net",
        "panel '10x': '' by 'train loss'",
        "  line _child0 -o: (1 8) (2 4) (3 1.5)",
        r"panel '': 'epoch' by 'test accuracy [%]\n(logarithmic in the error)'",
        "  y function (0 99.23) 0= 50= 80= 90= 95= 97= 98= 99= 99.5= 99.8= 99.9=",
        "  line _child0 -o: (1 0) (3 99)",
        "legend in 1: A",
    ]
    loss, accuracy = figure.axes
    assert loss.lines[0].get_markersize() == 3
    assert loss.yaxis.get_major_formatter()(10_000) == "10,000"
    assert figure.get_size_inches().tolist() == pytest.approx([5, 2 * 2.5 + 0.4 + LEGEND])
    assert accuracy.get_xticks().tolist() == [tick for tick in accuracy.get_xticks() if tick == int(tick)]


@pytest.mark.parametrize(("largest", "scale"), [(8, "log"), (7, "linear")])
def test_losses_are_logarithmic_where_they_span_eight_times(largest, scale):
    groups = [trained(made("A", (0.5,)), [(1, largest), (2, 1)]), trained(made("b", (0.5,)), [(1, 2), (2, 1)])]
    (axes,) = training_curves("Net", groups, STYLES).axes
    assert axes.get_yscale() == scale


@pytest.mark.parametrize(("epochs", "every"), [(2, 1), (19, 1), (20, 2), (21, 2), (30, 3)])
def test_one_epoch_in_ten_of_many_has_a_marker(epochs, every):
    group = trained(made("A", (0.5,)), [(epoch, 1.0) for epoch in range(epochs)])
    (axes,) = training_curves("Net", [group], STYLES).axes
    assert axes.lines[0].get_markevery() == every


def test_columns_share_their_epochs_and_rows_their_values():
    rows = [(1, 2.0, 0.5), (2, 1.0, 0.5)]
    groups = [trained(made("A", (0.5,), f"{limit}", limit=limit), rows) for limit in range(2)]
    first, second, third, fourth = training_curves("Net", groups, STYLES).axes
    assert first.get_shared_x_axes().joined(first, third)
    assert not first.get_shared_x_axes().joined(first, second)
    assert first.get_shared_y_axes().joined(first, second)
    assert not first.get_shared_y_axes().joined(first, third)
    assert fourth.get_shared_y_axes().joined(third, fourth)
    alike = [trained(made(line, (0.5,)), rows) for line in ("A", "b")]
    for axes in training_curves("Net", alike, STYLES).axes:
        assert axes.lines[0].get_linewidth() > axes.lines[1].get_linewidth()


def test_one_run_of_two_epochs_is_enough_for_a_curve_with_a_known_column():
    group = trained(made("A", (0.5, 0.5)), [(1, 1.0), (2, 1.0)], [(1, 3.0)])
    (axes,) = training_curves("Net", [group], STYLES).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    group.runs[:] = [SimpleNamespace(epochs=[{"epoch": 1, "other": 1}, {"epoch": 2, "other": 1}])]
    assert training_curves("Net", [group], STYLES) is None
