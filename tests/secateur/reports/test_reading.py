"""What is read of run folders, and what is taken for wrong in them."""

import json
import math

import pytest

from secateur.reports.collect import collect, read_run
from secateur.reports.reading import Reader, are_figures, are_sizes, is_count, is_measured, numbers_in
from secateur.utils.errors import UserError
from tests.permissions import only


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (is_measured, [1, -0.5, math.inf, math.nan], [True, "1", None, 10**400]),
        (is_count, [1, 7], [0, -1, True, 1.0, "1"]),
        (are_sizes, [[1, 8], []], [[1, "8"], [1.0, 8], [True], (1, 8), 3]),
        (are_figures, [{"a": 1, "b": 0.5}, {}], [{"a": 1, "b": "c"}, {"a": math.nan}, [1]]),
    ],
)
def test_an_entry_is_of_its_kind_or_wrong(rule, right, wrong):
    assert all(map(rule, right))
    assert not any(map(rule, wrong))


def nested(depth, wrap):
    value = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "dictionaries"])
def test_json_may_be_nested_20_deep(tmp_path, wrap):
    path, reader = tmp_path / "a.json", Reader()
    path.write_text(json.dumps({"a": nested(19, wrap)}))
    assert reader.json(path, {}) == {"a": nested(19, wrap)}
    path.write_text(json.dumps({"a": nested(20, wrap)}))
    assert reader.json(path, {}) == {}
    assert reader.problems == [f"{path}: it is nested too deeply"]


def test_files_beyond_the_largest_are_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"a":1}\n')
    for largest, problems in ((8, 0), (7, 1)):
        for read in (Reader.text, Reader.csv, lambda self, path: self.json(path, {})):
            reader = Reader(largest)
            read(reader, path)
            assert len(reader.problems) == problems


def test_names_are_sorted_whatever_the_system_lists(tmp_path):
    for name in "hbgcaedf":
        (tmp_path / name).touch()
    assert Reader().names(tmp_path) == list("abcdefgh")


def test_rows_without_an_epoch_are_left_out():
    rows = [{"epoch": "1", "loss": "0.5", "word": "x", "none": "nan"}, {"loss": "1"}, {"epoch": "2", "loss": ""}]
    assert numbers_in(rows) == [{"epoch": 1, "loss": 0.5}, {"epoch": 2}]


def test_a_row_that_ends_early_has_empty_cells(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,c\n1,2\n3,4,5,6\n")
    assert Reader().csv(tmp_path / "a.csv") == [{"a": "1", "b": "2", "c": ""}, {"a": "3", "b": "4", "c": "5"}]


@pytest.mark.parametrize("name", [f"latency_{unit}_batch_{size}" for unit in ("ms", "dense_ms") for size in (1, 64)])
def test_a_latency_that_is_no_number_is_a_problem(make_run_folder, tmp_path, name):
    path = make_run_folder("SNIP", 1, results={name: "fast"}) / "output" / "results.json"
    assert collect([tmp_path])[1] == [f"{path}: its {name} is 'fast'"]


def test_a_loss_without_bounds_is_no_damage_and_not_shown(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1, results={"test_loss": math.inf, "node_sparsity": None})
    (run,), problems = collect([tmp_path])
    assert (problems, run.status, run.figure("test_loss"), run.figure("node_sparsity")) == ([], "finished", None, None)


def test_what_a_finished_network_says_is_read(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder / "models").mkdir()
    (folder / "models" / "other.json").write_text('{"input_shape": [9], "num_classes": 9}')
    (folder / "models" / "Net_finished.json").write_text('{"input_shape": [3, 8, 9], "num_classes": 7}')
    (run,), problems = collect([tmp_path])
    assert (run.input_shape, run.classes, problems) == ((3, 8, 9), 7, [])
    (folder / "models" / "Net_finished.json").write_text('{"num_classes": 7}')
    (run,), _ = collect([tmp_path])
    assert (run.input_shape, run.classes) == (None, 7)


def test_hidden_folders_and_those_without_output_hold_no_runs(make_run_folder, tmp_path):
    runs = [make_run_folder("SNIP", seed) for seed in (1, 2, 3)]
    (tmp_path / "results" / ".hidden").mkdir()
    hidden = runs[0].rename(tmp_path / "results" / ".hidden" / "run")
    (runs[1] / "output").rename(runs[1] / "codebase")
    for path in (runs[2] / "output").iterdir():
        if path.name not in ("log.txt", "arguments.json", "environment.json"):
            path.unlink()
    (tmp_path / "results" / "empty" / "output").mkdir(parents=True)
    (run,), _ = collect([tmp_path])
    assert (run.folder, run.status, run.reason) == (
        *(runs[2], "incomplete"),
        "still going, or killed; 2026-01-01 the run begins",
    )
    assert [run.folder for run in collect([hidden])[0]] == [hidden]


def test_why_a_run_has_no_results_is_the_last_that_its_log_says(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder / "output" / "results.json").unlink()
    log = folder / "output" / "log.txt"
    for text, why in (
        ("a ended by B\nb\nc ended by D\nlast\n\n", ("failed", "c ended by D")),
        ("one\ntwo\n  three  \n\n", ("incomplete", "still going, or killed; three")),
        ("\n", ("incomplete", "its log.txt is empty")),
    ):
        log.write_text(text)
        (run,), _ = collect([tmp_path])
        assert (run.status, run.reason) == why
    log.unlink()
    (run,), _ = collect([tmp_path])
    assert (run.status, run.reason) == ("incomplete", "its log.txt is empty")


def test_runs_are_sorted_by_folder_whatever_the_order_of_the_places(make_run_folder):
    folders = [make_run_folder(name, 1) for name in ("C", "A", "B")]
    assert [run.folder for run in collect(folders)[0]] == sorted(folders)


def test_without_a_run_all_places_and_the_first_reason_are_told(tmp_path):
    closed = [tmp_path / name for name in ("a", "b")]
    for folder in closed:
        folder.mkdir()
    with only(0, *closed), pytest.raises(UserError) as caught:
        collect(closed)
    assert str(caught.value) == (
        f"--report {closed[0]}, {closed[1]}: no run folder (one with output/) is there; name one, or a folder of them; "
        f"{closed[0]}: Permission denied"
    )


def test_a_run_is_read_without_the_tables_of_its_testers(make_run_folder):
    folder, reader = make_run_folder("SNIP", 1), Reader()
    (folder / "output" / "other.csv").write_text("a\n1\n")
    run = read_run(folder, reader, tables=False)
    assert (run.tables, len(run.epochs), run.command) == ({}, 2, "python3 main.py --seed 1")
    assert read_run(folder, reader).tables == {"other.csv": [{"a": "1"}]}


def test_of_a_table_100_rows_are_kept_and_all_are_counted(make_run_folder):
    folder = make_run_folder("SNIP", 1)
    (folder / "output" / "other.csv").write_text("a\n" + "1\n" * 102)
    run = read_run(folder, Reader())
    assert (len(run.tables["other.csv"]), run.table_rows) == (100, {"other.csv": 102})
