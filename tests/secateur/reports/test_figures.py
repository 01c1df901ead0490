"""The figures and tables of a report, by the numbers that they show."""

import pytest
import torch
from safetensors.torch import save_file

from secateur.reports.collect import MOST_ROWS, collect
from secateur.reports.figures import draw
from secateur.reports.groups import group, mean
from secateur.reports.layer_figures import layer_densities, weight_histograms
from secateur.reports.measure_figures import beyond_error, measure_lines, pareto
from secateur.reports.measures import ACCURACY, COMPRESSION, FLOPS, LATENCY, NODES, SPEED_UP, TESTING
from secateur.reports.panels import ACCURACY_TICKS, by_error, line_names, logarithmic, panel_grid, spaced, targets_of
from secateur.reports.tables import all_groups, all_runs, compared, layers, of_testers
from secateur.reports.training_figures import training_curves
from secateur.utils.drawing import COLOURS

STYLES = {
    line: {"color": f"C{number}", "marker": "o", "linestyle": "-"}
    for number, line in enumerate(("EmptyCrit", "CNIP", "GRASP", "SNIP"))
}


def as_rows(table):
    """What a person reads."""
    return [dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows]


def points(line):
    return [(round(x, 6), round(y, 6)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_measures_of_a_group_are_means_over_its_runs(groups):
    snip = next(one for one in groups if (one.line, one.target) == ("SNIP", "10x"))
    assert ACCURACY.mean(snip).value == pytest.approx(0.6)
    assert COMPRESSION.mean(snip).value == pytest.approx(10)
    # dense / pruned: more is faster
    assert {size: measure.mean(snip).value for size, measure in SPEED_UP.items()} == {1: 2, 64: 4}
    assert LATENCY[64].mean(snip).value == 5


def test_dense_comes_first_and_is_a_target_only_where_there_is_nothing_else(groups):
    assert line_names(groups) == ["EmptyCrit", "CNIP", "SNIP"]
    assert targets_of(groups) == targets_of(groups[::-1]) == ["10x", "20x"]
    assert targets_of(groups[:1]) == ["1x"]


def test_lines_go_through_the_pruned_and_the_dense_one_lies_across(groups):
    (axes,) = measure_lines(groups, COMPRESSION, ACCURACY, STYLES).axes
    dense, cnip, snip = axes.get_lines()[0], axes.containers[0], axes.containers[1]
    assert points(dense) == [(0, 90), (1, 90)]  # from border to border
    assert points(cnip.lines[0]) == [(10, 55)]
    assert points(snip.lines[0]) == [(10, 60), (20, 40)]
    assert (cnip.has_yerr, snip.has_yerr) == (False, True)
    # the bar of the two seeds: one standard deviation of 50 and 70
    (bars,) = snip.lines[2]
    assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([60 - 200**0.5, 60 + 200**0.5])


def test_by_flops_the_dense_network_is_a_point(groups):
    (axes,) = measure_lines(groups, FLOPS, ACCURACY, STYLES).axes
    assert points(axes.containers[0].lines[0]) == [(0.001, 90)]
    assert len(axes.containers) == 3


def test_a_measure_that_is_zero_everywhere_is_not_drawn(groups):
    assert measure_lines(groups, NODES, ACCURACY, STYLES) is None


def test_the_front_is_drawn_for_each_batch_size(groups):
    one, many = pareto(groups, STYLES).axes
    assert (points(one.get_lines()[0]), points(many.get_lines()[0])) == ([(2, 60)], [(4, 60)])
    assert [axes.get_title().partition(", ")[2] for axes in (one, many)] == [
        "1 image at a time",
        "64 images at a time",
    ]
    assert [text.get_text() for text in one.texts] == ["10x"]


def test_layers_are_drawn_of_the_pruned_alone_by_target(groups):
    figure = layer_densities("panel", groups, STYLES)
    first, second = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CNIP", "SNIP"]
    assert [axes.get_title() for axes in (first, second)] == ["10x", "20x"]
    assert [points(line) for line in first.get_lines()] == [[(0, 10), (1, 10)]] * 2
    assert [points(line) for line in second.get_lines()] == [[(0, 5), (1, 5)]]


def test_training_is_drawn_beside_that_of_the_dense_network(groups):
    figure = training_curves("panel", groups, STYLES)
    loss, _, accuracy, _ = figure.axes
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 2, 3, 2]
    assert points(loss.get_lines()[0]) == [(1, 2), (2, 1)]
    assert loss.get_lines()[0].get_markevery() == 1
    assert points(accuracy.get_lines()[0]) == [(1, 20), (2, 40)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "CNIP", "SNIP"]


def test_all_figures_there_are_data_for_are_drawn(groups):
    assert [picture.name for picture in draw(groups, [])] == [
        "accuracy_by_compression",
        "latency_batch_1_by_compression",
        "latency_batch_64_by_compression",
        "flops_by_compression",
        "accuracy_by_flops",
        "pareto_speed",
        "layers_1",
        "training_1",
    ]


def test_times_that_differ_by_no_more_than_twice_their_error_are_not_drawn(make_run_folder, tmp_path):
    for model, times in (("Noise", (1, 3, 2, 4)), ("Speed", (1, 3, 5, 7)), ("OneSeed", (1, None, 9, None))):
        for criterion, pair in (("SNIP", times[:2]), ("GRASP", times[2:])):
            for seed, seconds in enumerate(pair):
                if seconds:
                    make_run_folder(criterion, seed, results={"seconds_testing": seconds}, model=model)
    groups = group(collect([tmp_path])[0])
    # Means of 2 and 3, or 2 and 6, with a standard deviation of the square root of 2.
    assert {one.panel for one in beyond_error(groups, TESTING)} == {"Speed on DIGITS"}


def test_training_for_one_epoch_has_no_curve(groups):
    for run in (run for one in groups for run in one.runs):
        run.epochs = run.epochs[:1]
    assert training_curves("panel", groups, STYLES) is None


def test_of_too_many_some_are_taken_evenly():
    assert spaced(range(5), 5) == [0, 1, 2, 3, 4]
    assert spaced(range(9), 5) == [0, 2, 4, 6, 8]


def test_cells_are_sorted_by_what_they_mean_and_not_by_their_text(groups):
    table = compared(groups, ACCURACY)
    assert table.columns == ["network", "compression", "EmptyCrit", "CNIP", "SNIP"]
    assert [[cell.text for cell in row[1:]] for row in table.rows] == [
        ["1x", "90.00 (1)", "", ""],
        ["10x", "", "55.00 (1)", "60.00 ± 14.14 (2)"],
        ["20x", "", "", "40.00 (1)"],
    ]
    assert [row[1].value for row in table.rows] == [1, 10, 20]
    assert [row[4].value for row in table.rows] == [None, pytest.approx(0.6), 0.4]
    assert compared(groups, SPEED_UP[1]) is not None
    assert compared(groups[:1], SPEED_UP[1]) is None


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1234, 0.0], 0),
        ([123.4], 0),
        ([1234, 1.2], 2),
        ([0.1, None], 3),
        ([0.00187, -9], 5),
        ([1e-9], 6),
        ([], 2),
        ([1e308, 5e-324], 6),
    ],
)
def test_a_column_has_as_many_decimals_as_give_its_smallest_number_three_digits(values, decimals):
    assert TESTING.decimals_of([mean([value]) for value in values]) == decimals
    assert ACCURACY.decimals_of([mean([value]) for value in values]) == 2


def test_all_groups_and_layers_are_listed_with_what_was_measured(groups):
    (dense, *_, snip) = as_rows(all_groups(groups))
    assert (dense["compression"], dense["runs"], snip["compression"]) == ("1x", "1", "20x")
    assert {name for name in snip if name.startswith("times as fast")} == {
        "times as fast as dense, batch 1",
        "times as fast as dense, batch 64",
    }
    assert "loss" not in snip
    rows = [tuple(row.values())[1:] for row in as_rows(layers(groups))]
    assert rows[:2] == [("EmptyCrit", "1x", "first", "100.000 (1)"), ("EmptyCrit", "1x", "last", "100.000 (1)")]
    assert rows[-1] == ("SNIP", "20x", "last", "5.000 (1)")


def test_a_test_of_a_network_is_listed_as_one_and_is_no_training(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1, 0.5)
    make_run_folder("SNIP", 1, 0.9, eval=True)
    runs, _ = collect([tmp_path])
    (one,) = group(runs)
    assert ([run.accuracy for run in one.runs], [run.trained for run in runs]) == ([0.5], [True, False])
    rows = as_rows(all_runs(runs))
    assert [(row["status"], row["accuracy [%]"], row["weights pruned [%]"]) for row in rows] == [
        ("finished", "50.00", "90.00"),
        ("test", "90.00", "90.00"),
    ]


def test_long_tables_of_testers_are_cut_off_and_their_numbers_shortened(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    rows = "".join(f"{number},0.1234567890123,name\n" for number in range(MOST_ROWS + 1))
    (folder / "output" / "compared.csv").write_text(f"number,share,word\n{rows}")
    (table,), left = of_testers(collect([tmp_path])[0])
    assert left == 0
    assert table.title.endswith(f"output/compared.csv, the first {MOST_ROWS} of {MOST_ROWS + 1} rows")
    assert [[cell.text for cell in row] for row in table.rows] == [
        [str(number), "0.123457", "name"] for number in range(MOST_ROWS)
    ]
    assert [cell.value for cell in table.rows[2]] == [2, 0.1234567890123, None]


@pytest.mark.parametrize(
    ("values", "scale"),
    [([90, 98.75], "function"), ([90, 98.7], "linear"), ([10, 50], "linear"), ([99.9, 100], "function")],
)
def test_accuracies_are_logarithmic_in_the_error_where_that_spans_eight_times(values, scale):
    (axes,) = panel_grid(1, 3, 3)[1]
    axes.plot([0, 1], values)
    axes.set_ylabel("accuracy")
    by_error(axes, values)
    assert axes.get_yscale() == scale
    if scale == "linear":
        assert axes.get_ylabel() == "accuracy"
        return
    assert axes.get_ylabel() == "accuracy\n(logarithmic in the error)"
    assert set(axes.get_yticks()) <= {*ACCURACY_TICKS}
    assert 0 == ACCURACY_TICKS[0] < ACCURACY_TICKS[-1] < 100
    largest, smallest = 100 - values[0], max(100 - values[1], 0.01)
    assert axes.get_ylim() == pytest.approx((100 - 1.3 * largest, 100 - smallest / 1.3))
    # as far from 90 to 99 as from 99 to 99.9, and nothing is further than an error of 0.01
    places = axes.transData.transform([(0, accuracy) for accuracy in (90, 99, 99.9, 99.99, 100)])[:, 1]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1]) == pytest.approx(places[3] - places[2])
    assert places[4] == pytest.approx(places[3])


@pytest.mark.parametrize(
    ("values", "scale"), [([1, 8], "log"), ([1, 7.9], "linear"), ([0, 100], "linear"), ([-1, 100], "linear")]
)
def test_an_axis_is_logarithmic_where_positive_values_span_eight_times(values, scale):
    (axes,) = panel_grid(1, 3, 3)[1]
    axes.plot(values, [0, 1])
    logarithmic(axes.xaxis, values, "x")
    assert axes.get_xscale() == scale
    assert axes.xaxis.get_major_formatter()(10_000) == "10,000x"
    if scale == "log":
        assert [tick for tick in axes.get_xticks() if 1 <= tick <= 8] == [1, 2, 5]


def test_panels_stand_side_by_side_as_far_as_there_is_room():
    figure, panels = panel_grid(5, 4, 3, most=3)
    assert figure.get_size_inches().tolist() == pytest.approx([3 * 4, 2 * 3 + 0.2])
    assert (len(panels), len(figure.axes)) == (5, 6)
    assert [axes.axison for axes in figure.axes] == [True] * 5 + [False]


def test_above_a_compression_stands_how_much_is_pruned(groups):
    (axes,) = measure_lines(groups, COMPRESSION, ACCURACY, STYLES).axes
    axes.figure.canvas.draw()
    (above,) = axes.child_axes
    shown = dict(zip(above.get_xticks(), (text.get_text() for text in above.get_xticklabels()), strict=True))
    assert shown
    assert all(text == f"{100 - 100 / tick:.3g}%" for tick, text in shown.items())
    low, high = axes.get_xlim()
    assert all(max(low, 1) <= tick <= high for tick in shown)


def test_weights_are_drawn_where_most_lines_meet(make_run_folder, tmp_path):
    for criterion, limit in (("SNIP", 0.9), ("SNIP", 0.95), ("GRASP", 0.95), ("GRASP", 0.98), ("SNIP", 0.98)):
        folder = make_run_folder(criterion, 1, pruning_limit=limit)
        (folder / "models").mkdir()
        size = 1.0 if criterion == "SNIP" else 0.5  # there is room for the larger ones
        weights = {"first.weight": torch.tensor([[0.0, size, -size]]), "last.weight": torch.zeros(2, 2)}
        save_file(weights, folder / "models" / "LeNet300_finished.safetensors")
    (picture,) = weight_histograms("panel", group(collect([tmp_path])[0]), STYLES, 3, [])
    assert picture.name == "weights_3"
    assert "at 20x, of one run of each line (seed 1)" in picture.caption  # of 20x and 50x the nearer to 10x
    first, last = picture.figure.axes
    assert (first.get_title(), last.get_title()) == ("first", "last")
    assert (len(first.patches), len(last.patches)) == (2, 0)
    values, edges, _ = first.patches[0].get_data()
    assert (values.sum(), len(values)) == (2, 50)
    assert edges[[0, -1]].tolist() == [-1, 1]


def test_lines_are_dashed_where_colours_come_round_again(make_run_folder, tmp_path):
    for number in range(2 * len(COLOURS) + 1):
        make_run_folder(f"Criterion{number:02d}", 1)
    figure = next(iter(draw(group(collect([tmp_path])[0]), []))).figure
    lines = [container.lines[0] for container in figure.axes[0].containers]
    styles = [line.get_linestyle() for line in lines]
    assert styles == ["-"] * len(COLOURS) + ["--"] * len(COLOURS) + [":"]
    assert lines[0].get_color() == lines[len(COLOURS)].get_color() != lines[1].get_color()
