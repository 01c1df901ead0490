"""Every column and cell of the tables of a report."""

from pathlib import Path

import pytest

from secateur.reports.collect import RunRecord
from secateur.reports.groups import mean
from secateur.reports.measures import ACCURACY, COMPRESSION, SPEED_UP, TESTING, THEORETICAL, Measure
from secateur.reports.tables import MOST_CELLS, all_groups, all_runs, compared, layers, of_testers
from tests.secateur.reports.handmade import dense, made, texts, values

#: All that a table of groups shows, with numbers that no two units confuse.
RESULTS = {
    "test_top5_accuracy": 0.75, "test_loss": 1.23456, "weight_sparsity": 0.875, "node_sparsity": 0.25,
    "parameters_kept": 12345.4, "checkpoint_bytes": 6789, "flops_effective": 2_500_000, "flops_dense": 10_000_000,
    "latency_ms_batch_1": 0.5, "latency_dense_ms_batch_1": 1.0, "latency_ms_batch_64": 4.0,
    "latency_dense_ms_batch_64": 2.0, "seconds_testing": 12.34, "flops_training_total": 7_000_000_000,
    "seconds_training": 123.4,
}  # fmt: skip


def test_the_table_of_groups_has_every_measure_in_its_unit():
    table = all_groups([made("SNIP", (0.5,), control="shuffled", **RESULTS), made("CNIP", (0.25, 0.75))])
    assert (table.name, table.title) == ("groups", "mean ± standard deviation (number of runs)")
    assert list(zip(table.columns, *texts(table), strict=True)) == [
        ("network", "Net on Data", "Net on Data"),
        ("criterion", "SNIP: mask shuffled within layers", "CNIP"),
        ("compression", "10x", "10x"),
        ("runs", "1", "2"),
        ("accuracy [%]", "50.00 (1)", "50.00 ± 35.36 (2)"),
        ("top-5 accuracy [%]", "75.00 (1)", ""),
        ("loss", "1.2346 (1)", ""),
        ("weights pruned [%]", "87.50 (1)", ""),
        ("hidden units and channels pruned [%]", "25.00 (1)", ""),
        ("compression: dense weights for each that is kept", "8.00 (1)", ""),
        ("parameters kept", "12345 (1)", ""),
        ("checkpoint [kB]", "6.8 (1)", ""),
        ("effective FLOPs of an image [millions]", "2.50 (1)", ""),
        ("dense FLOPs / effective FLOPs", "4.00 (1)", ""),
        ("times as fast as dense, batch 1", "2.00 (1)", ""),
        ("times as fast as dense, batch 64", "0.50 (1)", ""),
        ("latency of 1 image [ms]", "0.500 (1)", ""),
        ("latency of 64 images [ms]", "4.000 (1)", ""),
        ("time of testing the whole set [s]", "12.3 (1)", ""),
        ("effective FLOPs of training [billions]", "7.00 (1)", ""),
        ("time of training [s]", "123 (1)", ""),
    ]
    assert values(table)[0] == [
        *(
            None,
            None,
            0.9,
            None,
            0.5,
            0.75,
            1.23456,
            0.875,
            0.25,
            8,
            12345.4,
            6789,
            2_500_000,
            4,
            2,
            0.5,
            0.5,
            4,
            12.34,
        ),
        *(7_000_000_000, 123.4),
    ]


@pytest.mark.parametrize(
    ("dense_ms", "ms", "ratio"), [(2, 4, 0.5), (0, 4, None), (2, 0, None), (None, 4, None), (2, None, None)]
)
def test_a_ratio_takes_two_numbers_that_are_not_zero(dense_ms, ms, ratio):
    run = RunRecord(Path("a"), results={"latency_dense_ms_batch_64": dense_ms, "latency_ms_batch_64": ms})
    assert SPEED_UP[64].of(run) == ratio
    assert THEORETICAL.of(RunRecord(Path("a"), results={"flops_dense": dense_ms, "flops_effective": ms})) == ratio


@pytest.mark.parametrize(("sparsity", "times"), [(0.75, 4), (0.0, 1), (1.0, None), (None, None), (True, None)])
def test_a_compression_is_the_inverse_of_what_is_kept(sparsity, times):
    assert COMPRESSION.of(RunRecord(Path("a"), results={"weight_sparsity": sparsity})) == times


def test_the_top_5_accuracy_is_that_of_the_test_set_or_of_the_validation_set():
    both = {"test_top5_accuracy": 0.5, "validation_top5_accuracy": 0.75}
    assert RunRecord(Path("a"), results=both).top5_accuracy == 0.5
    assert RunRecord(Path("a"), results={"validation_top5_accuracy": 0.75}).top5_accuracy == 0.75


def test_numbers_too_large_for_the_unit_have_no_say_in_the_decimals():
    measure = Measure("m", "m", lambda run: None, 100, None)
    assert measure.decimals_of([mean([1e308])]) == 2
    assert measure.decimals_of([mean([1e308]), mean([-0.5])]) == 1
    assert Measure("m", "m", lambda run: None).decimals_of([]) == 2


def test_a_table_of_one_measure_has_a_column_for_each_line_dense_first():
    groups = [
        made("b", (0.5,), "100x", limit=0.99),
        made("A", (0.25, 0.75)),
        made("A", (0.5,), "all", panel="Another", limit=1.0),
        dense((0.9,)),
        made("b", (None,), "10x"),
    ]
    table = compared(groups, ACCURACY)
    assert (table.name, table.title) == ("accuracy", "accuracy [%]")
    assert table.columns == ["network", "compression", "EmptyCrit", "A", "b"]
    assert texts(table) == [
        ["Another", "all", "", "50.00 (1)", ""],
        ["Net on Data", "1x", "90.00 (1)", "", ""],
        ["Net on Data", "10x", "", "50.00 ± 35.36 (2)", ""],
        ["Net on Data", "100x", "", "", "50.00 (1)"],
    ]
    assert values(table) == [
        [None, None, None, 0.5, None],
        [None, 1, 0.9, None, None],
        [None, 10, None, 0.5, None],
        [None, 100, None, None, 0.5],
    ]
    assert compared(groups, TESTING) is None


def test_the_layers_of_each_group_are_listed():
    group = made("SNIP", (0.5, 0.5), "20x", limit=0.95, control="shuffled", densities={"a": 0.125, "b": 0.5})
    group.runs[1].results["layer_densities"] = {"a": 0.375}
    table = layers([group])
    assert (table.name, table.title) == ("layers", "weights that are kept of each layer")
    assert table.columns == ["network", "criterion", "compression", "layer", "weights kept [%]"]
    name = "SNIP: mask shuffled within layers"
    assert texts(table) == [
        ["Net on Data", name, "20x", "a", "25.000 ± 17.678 (2)"],
        ["Net on Data", name, "20x", "b", "50.000 (1)"],
    ]
    assert values(table) == [[None, None, 0.95, None, 0.25], [None, None, 0.95, None, 0.5]]


def test_the_table_of_runs_has_a_row_for_each():
    settings = {"model": "Net", "data_set": "Data", "prune_criterion": "SNIP", "seed": 3}
    results = {"test_accuracy": 0.5, "weight_sparsity": 0.875, "seconds_training": 12.345, "test_loss": 2.0}
    run = RunRecord(Path("results/one"), settings, results=results, command="main.py --seed 3")
    failed = RunRecord(Path("results/two"), status="failed", reason="12:00 ended by E")
    more = Measure("loss", "loss [nats]", lambda run: run.figure("test_loss"), 10, 1)
    table = all_runs([run, failed], [more])
    assert (table.name, table.title) == ("runs", "all runs")
    assert list(zip(table.columns, *texts(table), strict=True)) == [
        ("run", "one", "two"),
        ("status", "finished", "failed"),
        ("model", "Net", ""),
        ("data set", "Data", ""),
        ("criterion", "SNIP", ""),
        ("seed", "3", ""),
        ("accuracy [%]", "50.00", ""),
        ("weights pruned [%]", "87.50", ""),
        ("training [s]", "12.3", ""),
        ("loss [nats]", "20.0", ""),
        ("why not finished", "", "12:00 ended by E"),
        ("command", "main.py --seed 3", ""),
    ]
    assert values(table)[0] == [*[None] * 6, 0.5, 0.875, 12.345, 2.0, None, None]
    assert [(cell.link, cell.folded) for cell in table.rows[0]] == [
        (Path("results/one"), False), *[(None, False)] * 10, (None, True),
    ]  # fmt: skip


def run_of_testers(name, **tables):
    rows = {f"{table}.csv": [{"a": text, "b": "0.123456789"}] * number for table, (text, number) in tables.items()}
    return RunRecord(Path(name), tables=rows, table_rows={file: len(those) for file, those in rows.items()})


def test_tables_of_testers_are_shown_as_far_as_there_is_room(monkeypatch):
    monkeypatch.setattr("secateur.reports.tables.MOST_CELLS", 10)
    runs = [
        run_of_testers("one", x=("word", 2), y=("1234567.891", 1)),
        run_of_testers("two", z=("12345678.9", 3), w=("1", 1)),
    ]
    runs[0].table_rows["y.csv"] = 1234
    found, more = of_testers(runs)
    # 4 and 2 of 10 cells; then 6 are too many, also for what is behind them
    assert [(one.name, one.title, one.columns) for one in found] == [
        ("", "one/output/x.csv", ["a", "b"]),
        ("", "one/output/y.csv, the first 1 of 1,234 rows", ["a", "b"]),
    ]
    assert texts(found[0]) == [["word", "0.123457"]] * 2
    assert values(found[0]) == [[None, 0.123456789]] * 2
    assert texts(found[1]) == [["1.23457e+06", "0.123457"]]
    assert more == 2
    monkeypatch.setattr("secateur.reports.tables.MOST_CELLS", 12)
    found, more = of_testers(runs)
    assert [table.title.partition(", ")[0] for table in found] == [
        f"{name}.csv" for name in ("one/output/x", "one/output/y", "two/output/z")
    ]
    assert texts(found[2])[0] == ["12345678.9", "0.123457"]  # as it is up to ten letters
    assert more == 1


def test_a_page_has_room_for_50_000_cells_of_testers():
    assert MOST_CELLS == 50_000
