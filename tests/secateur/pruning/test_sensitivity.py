"""How far layers go by a table of what that has cost."""

import pytest

from secateur.pruning.sensitivity import sparsity_within, spread, table_counts, table_of
from secateur.runs.files import write_json
from secateur.utils.errors import UserError

#: Accuracy 0.9 as a whole; a loses 0.1 up to a fifth and nothing up to three fifths; b loses 0.2 up to four fifths.
TABLE = {"a": [(0.0, 0.9), (0.2, 0.8), (0.6, 0.8), (0.8, 0.2)], "b": [(0.0, 0.9), (0.8, 0.7)]}


@pytest.mark.parametrize(
    ("layer", "drop", "sparsity"),
    [
        ("a", 0.0, 0.0),
        ("a", 0.05, 0.1),
        ("a", 0.11, 0.6 + 0.2 * 0.01 / 0.6),
        ("a", 0.7, 0.8),
        ("a", 0.8, 0.9),  # on the way from 0.2 to nothing without weights
        ("a", 0.9, 1.0),
        ("b", 0.1, 0.4),
        ("b", 0.55, 0.9),
    ],
)
def test_the_sparsity_of_a_drop_lies_on_the_line_between_points(layer, drop, sparsity):
    assert sparsity_within(TABLE[layer], drop) == pytest.approx(sparsity, rel=1e-9)


def test_a_drop_that_a_point_just_has_goes_on_as_long_as_it_costs_no_more():
    points = [(0.0, 0.75), (0.25, 0.5), (0.5, 0.5), (0.75, 0.25)]
    assert sparsity_within(points, 0.25) == 0.5
    assert sparsity_within([(0.0, 0.5), (0.5, 0.75), (0.75, 0.25)], 0.0) == 0.5  # better than the whole counts as equal


@pytest.mark.parametrize(
    ("layers", "keep", "expected"),
    [
        (("a", "b"), 170, (90, 80)),  # a drop of 0.05: a tenth, and a fifth
        (("a", "b"), 200, (100, 100)),
        # a drop of 0.1 leaves 60 of b, and of a all from 80 to 40
        (("a", "b"), 140, (80, 60)),
        (("a", "b"), 110, (50, 60)),
        (("a", "b"), 100, (40, 60)),
        # half of c costs nothing: part of the way to that, or just as far, or farther with a drop of 0.1
        (("c", "b"), 170, (70, 100)),
        (("c", "b"), 150, (50, 100)),
        (("c", "b"), 50 * 0.8 / 0.9 + 60, (50 * 0.8 / 0.9, 60)),
    ],
)
def test_all_layers_keep_what_one_drop_leaves_of_each(layers, keep, expected):
    table = TABLE | {"c": [(0.0, 0.9), (0.5, 0.9)]}
    found = spread(table, dict.fromkeys(layers, 100), keep)
    assert found == pytest.approx(dict(zip(layers, expected, strict=True)), abs=1e-6)


def written(folder, rows):
    (folder / "output").mkdir()
    write_json(folder / "output" / "results.json", rows)
    return folder


def rows_of(table):
    """In any order, with what else the tester says of each."""
    return [
        {"layer": layer, "sparsity": sparsity, "recalibrated_accuracy": accuracy, "accuracy": 0.1}
        for layer, points in table.items()
        for sparsity, accuracy in reversed(points)
    ]


def test_counts_are_whole_numbers_and_those_of_some_layers_are_fixed(tmp_path):
    assert table_of(rows_of(TABLE)) == TABLE
    run = written(tmp_path, {"sensitivity": rows_of(TABLE)})
    sizes = {"a": 100, "b": 100}
    assert table_counts(run, sizes, 170, {}) == {"a": 90, "b": 80}
    assert table_counts(run, sizes | {"x": 50}, 177, {"x": 7}) == {"x": 7, "a": 90, "b": 80}
    assert table_counts(run, {"x": 50}, 7, {"x": 7}) == {"x": 7}
    with pytest.raises(UserError) as error:
        table_counts(run, sizes | {"x": 50, "y": 50}, 170, {})
    assert str(error.value) == "--sensitivity has no layer x: its network, or what it has pruned, is another"


@pytest.mark.parametrize("rows", [{}, {"sensitivity": 3}, {"sensitivity": [{"layer": "a"}]}, None])
def test_a_run_of_another_kind_is_refused_by_its_name(tmp_path, rows):
    run = tmp_path if rows is None else written(tmp_path, rows)
    with pytest.raises(UserError) as error:
        table_counts(run, {"a": 3}, 1, {})
    assert str(error.value) == f"--sensitivity {run} is not a finished run of the tester Sensitivity"
