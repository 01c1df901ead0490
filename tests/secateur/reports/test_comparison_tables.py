"""Every column and cell of the tables that compare the groups of a report."""

import pytest

from secateur.reports import comparison_tables as compared_tables
from secateur.reports.blocks import Scope
from secateur.reports.comparisons import AgainstDense, Collapse, Control, Pair, Ranking
from secateur.reports.groups import Mean
from secateur.reports.inference import Ranks
from tests.secateur.reports.handmade import dense, made, texts, values

INTERVAL = ["50.00", "41.02", "58.98"]


def test_the_table_against_the_dense_network():
    found = [
        AgainstDense(made("A", (0.5,)), Mean(0.5, 0.01, 2), Mean(-0.5, 0.01, 2), 0.0001),
        AgainstDense(made("B", (0.5,)), Mean(0.5, None, 1), None, None),
        AgainstDense(made("C", (0.5,)), Mean(0.5, None, 1), Mean(0.25, 0.01, 2), 0.00009),
    ]
    table = compared_tables.of_dense(found)
    assert table.name == "against_dense"
    assert table.columns == [
        *("network", "criterion", "compression", "n", "accuracy [%]", "95 % from", "95 % to", "pairs"),
        *("minus dense [points]", "difference from", "difference to", "p (Holm)", "than dense"),
    ]
    start = ["Net on Data", "A", "10x"]
    assert texts(table) == [
        [*start, "2", *INTERVAL, "2", "-50.00", "-58.98", "-41.02", "0.0001", "worse"],
        ["Net on Data", "B", "10x", "1", "50.00", "", "", "", "", "", "", "", "nothing to compare with"],
        ["Net on Data", "C", "10x", "1", "50.00", "", "", "2", "25.00", "16.02", "33.98", "<0.0001", "better"],
    ]
    assert values(table)[2] == [
        *(None, None, 0.9, 1, 50, None, None, 2, 25),
        *(pytest.approx(25 - 8.9846, abs=1e-3), pytest.approx(25 + 8.9846, abs=1e-3), 0.00009, None),
    ]


def test_the_table_of_controls_has_the_sizes_of_each():
    sized = {"parameters_kept": 1234.6, "flops_effective": 1_234_560}
    one, other = made("A", (0.5, 0.5), **sized), made("B", (0.5,))
    found = [
        Control(one, made("A", (0.25,), control="shuffled", parameters_kept=99), Mean(0.25, None, 1), None),
        Control(one, dense((0.9,)), None, None),
        Control(other, made("B", (0.25,), control="same_flops"), Mean(0.25, 0.01, 2), 0.04),
    ]
    table = compared_tables.of_controls(found)
    assert table.columns == [
        *("network", "criterion", "compression", "beside", "parameters", "effective MFLOPs", "n", "accuracy [%]"),
        *("95 % from", "95 % to", "pairs", "criterion minus it [points]", "difference from", "difference to"),
        *("p (Holm)", "the criterion is"),
    ]
    assert [row[1:] for row in texts(table)] == [
        ["A", "10x", "itself", "1235", "1.2346", "2", "50.00", "50.00", "50.00", "", "", "", "", "", ""],
        ["A", "10x", "mask shuffled within layers", "99", "", "1", "25.00", "", "", "1", "25.00", "", "", "",
         "n too small"],
        ["A", "10x", "dense", "", "", "1", "90.00", "", "", "", "", "", "", "", "nothing to compare with"],
        ["B", "10x", "itself", "", "", "1", "50.00", "", "", "", "", "", "", "", ""],
        ["B", "10x", "dense, equal FLOPs", "", "", "1", "25.00", "", "", "2", "25.00", "16.02", "33.98", "0.0400",
         "better"],
    ]  # fmt: skip
    assert values(table)[0][4:7] == [1234.6, 1_234_560, 2]


def test_the_table_of_pairs_and_that_of_ranks():
    scope = Scope("Net", {})
    table = compared_tables.of_pairs([Pair(scope, "A", "b", Mean(0.5, 0.01, 2), 0.01, 0.03)])
    assert table.columns == [
        *("network", "first", "second", "blocks", "first minus second [points]", "95 % from", "95 % to"),
        *("p (Wilcoxon)", "p (Holm)", "the first is"),
    ]
    assert texts(table) == [["Net", "A", "b", "2", *INTERVAL, "0.0100", "0.0300", "better"]]
    ranks = Ranks({"A": 1.25, "b": 2.0, "C": 2.75}, 7, 0.012, 1.0)
    table = compared_tables.of_ranks([Ranking(scope, None, []), Ranking(scope, ranks, [])])
    assert texts(table) == [
        ["Net", "A", "7", "1.25", "1.00", "0.0120", "a"],
        ["Net", "b", "7", "2.00", "1.00", "0.0120", "ab"],
        ["Net", "C", "7", "2.75", "1.00", "0.0120", "b"],
    ]
    assert values(table)[0] == [None, None, 7, 1.25, 1.0, 0.012, None]


def test_the_table_of_collapses():
    points = [made("A", (accuracy,) * 2, f"{number}x") for number, accuracy in enumerate((0.8, 0.7, 0.4, 0.3), start=2)]
    points[3].runs[1].results["layer_densities"] = {"a": 0.5, "b": 0}
    found = [Collapse("Net", "A", Mean(0.9, None, 1), 0.5, these) for these in (points, points[:2], points[2:3])]
    table = compared_tables.of_collapses(found)
    assert table.columns == [
        *("network", "criterion", "dense [%]", "threshold [%]", "above it up to", "below it from", "n"),
        *("accuracy there [%]", "95 % from", "95 % to", "a layer is empty from"),
    ]
    assert texts(table) == [
        ["Net", "A", "90.00", "50.00", "3x", "4x", "2", "40.00", "40.00", "40.00", "5x"],
        ["Net", "A", "90.00", "50.00", "3x", "", "", "", "", "", ""],
        ["Net", "A", "90.00", "50.00", "", "4x", "2", "40.00", "40.00", "40.00", ""],
    ]
