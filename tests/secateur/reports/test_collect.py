"""Run folders: found at any depth, and never left out without a word."""

import contextlib
import json
import os
import shutil

import pytest

from secateur.reports.collect import collect
from secateur.utils.errors import UserError
from tests.permissions import only


def test_runs_are_found_at_any_depth_once(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder.parent / "grid").mkdir()
    inner = make_run_folder("SNIP", 2).rename(folder.parent / "grid" / "inner")
    runs, problems = collect([tmp_path / "results", inner])
    assert [run.folder for run in runs] == sorted([folder, inner])
    assert problems == []
    assert runs[0].command == "python3 main.py --seed 1"
    assert runs[0].compression == pytest.approx(10)
    assert [row["train_loss"] for row in runs[0].epochs] == [2, 1]
    inner.rename(folder / "codebase")  # what lies within a run is no run of its own
    assert [run.folder for run in collect([tmp_path])[0]] == [folder]


def test_the_accuracy_is_that_of_the_test_set_or_of_the_validation_set(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1, 0.5, {"validation_accuracy": 0.8})
    make_run_folder("SNIP", 2, None, {"validation_accuracy": 0.8})
    make_run_folder("SNIP", 3, None, {"validation_accuracy": True})
    make_run_folder("SNIP", 4, 0.0)
    assert [run.accuracy for run in collect([tmp_path])[0]] == [0.5, 0.8, None, 0.0]


def test_what_is_damaged_or_unfinished_is_listed_with_its_reason(make_run_folder, tmp_path):
    damaged, failed, killed = (make_run_folder("SNIP", seed) for seed in (1, 2, 3))
    (damaged / "output" / "results.json").write_text('{"test_accuracy": 0.')
    for folder in (failed, killed):
        (folder / "output" / "results.json").unlink()
    (failed / "output" / "log.txt").write_text("12:00 begins\n12:01 ended by ValueError: too small\nTraceback\n")
    (killed / "output" / "log.txt").write_text("begins\nepoch 7\n")
    runs, problems = collect([tmp_path])
    assert [run.status for run in runs] == ["damaged", "failed", "incomplete"]
    assert not any(run.trained for run in runs)
    assert len(problems) == 1
    assert str(damaged / "output" / "results.json") in problems[0]
    assert "\n" not in problems[0]
    assert runs[1].reason == "12:01 ended by ValueError: too small"
    assert runs[2].reason.endswith("epoch 7")


def test_text_that_is_no_text_hides_no_run(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder / "output" / "calling_command.txt").write_bytes(b"python3 main.py --run_name \xff\n# called\n")
    (run,), problems = collect([tmp_path])
    assert (run.command, problems) == ("python3 main.py --run_name \ufffd", [])


@pytest.mark.parametrize("content", ["[1, 2]", "null", '{"a": 1', "\x00"])
def test_json_that_holds_something_else_is_a_problem(make_run_folder, tmp_path, content):
    (make_run_folder("SNIP", 1) / "output" / "arguments.json").write_text(content)
    runs, problems = collect([tmp_path])
    assert [run.status for run in runs] == ["damaged"]
    assert len(problems) == 1


def test_a_folder_without_runs_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        collect([tmp_path])
    with pytest.raises(UserError, match="there is no such folder"):
        collect([tmp_path / "nowhere"])


def _in_its_place(make):
    def damage(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        make(path)

    return damage


def _entry(**entries):
    def damage(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return damage


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
@pytest.mark.parametrize("name", ["log.txt", "calling_command.txt", "metrics.csv", "other.csv", "arguments.json"])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_one_line(make_run_folder, tmp_path, name, make, finished):
    path = make_run_folder("SNIP", 1) / "output" / name
    if not finished:
        (path.parent / "results.json").unlink()
    _in_its_place(make)(path)
    runs, problems = collect([tmp_path])
    if finished and name == "log.txt":  # which says why a run did not finish
        assert (runs[0].status, problems) == ("finished", [])
    else:
        assert problems == [f"{path}: it is not a file"]
        assert (runs[0].status, runs[0].reason) == ("damaged", "it is not a file")


@pytest.mark.parametrize("name", ["log.txt", "calling_command.txt", "metrics.csv", "results.json", "", "../models"])
def test_what_may_not_be_read_is_one_line(make_run_folder, tmp_path, name):
    folder, whole = make_run_folder("SNIP", 1), make_run_folder("GRASP", 1)
    (folder / "models").mkdir()
    path = folder / "output" / name
    if name == "log.txt":
        (path.parent / "results.json").unlink()
    with only(0, path):
        runs, problems = collect([tmp_path])
    assert problems == [f"{path if name != '../models' else folder / 'models'}: Permission denied"]
    assert {run.folder: run.status for run in runs} == {folder: "damaged", whole: "finished"}


@pytest.mark.parametrize("mode", [0, 0o400])
def test_a_run_folder_that_may_not_be_looked_into_is_one_line(make_run_folder, tmp_path, mode):
    folder = make_run_folder("SNIP", 1)
    make_run_folder("GRASP", 1)
    with only(mode, folder):
        runs, problems = collect([tmp_path])
    assert len(problems) == 1
    assert problems[0].startswith(str(folder))
    assert problems[0].endswith(": Permission denied")
    assert len([run for run in runs if run.trained]) == 1


def test_a_folder_that_may_not_be_read_is_a_problem_and_no_reason_to_stop(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    (folder.parent / "closed").mkdir()
    with only(0, folder.parent / "closed"):
        runs, problems = collect([tmp_path])
        with pytest.raises(UserError, match=r"closed: no run folder .*closed: Permission denied"):
            collect([folder.parent / "closed"])
    assert [run.status for run in runs] == ["finished"]
    assert problems == [f"{folder.parent / 'closed'}: Permission denied"]


@pytest.mark.parametrize(
    ("name", "entries", "told"),
    [
        ("results", {"layer_densities": {"a": "b"}}, "its layer_densities is {'a': 'b'}"),
        ("results", {"layer_densities": [1]}, "its layer_densities is [1]"),
        ("results", {"test_accuracy": "0.5"}, "its test_accuracy is '0.5'"),
        ("results", {"seconds_training": 10**400}, "its seconds_training is 1000"),
        ("results", {"model": ["LeNet300"]}, "its model is ['LeNet300']"),
        ("arguments", {"prune_criterion": {}}, "its prune_criterion is {}"),
        ("arguments", {"input_dim": 3}, "its input_dim is 3"),
        ("environment", {"a": json.loads("[" * 200 + "]" * 200)}, "it is nested too deeply"),
    ],
)
def test_an_entry_of_another_kind_is_one_line(make_run_folder, tmp_path, name, entries, told):
    path = make_run_folder("SNIP", 1) / "output" / f"{name}.json"
    _entry(**entries)(path)
    runs, problems = collect([tmp_path])
    assert [run.status for run in runs] == ["damaged"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: {told}")
    assert len(problems[0]) < 400


def test_text_of_a_folder_is_read_as_it_can_be_shown(make_run_folder, tmp_path):
    hostile = "\x1b[2J\u202e"
    folder = make_run_folder(f"SNIP{hostile}", 1, results={"layer_densities": {hostile: 0.5}})
    output = folder / "output"
    (output / "calling_command.txt").write_text(f"python3 {hostile}\n")
    (output / "table.csv").write_text(f"{hostile}\n{hostile}\n")
    failed = make_run_folder("GRASP", 1)
    (failed / "output" / "results.json").unlink()
    (failed / "output" / "log.txt").write_text(f"12:00 ended by Error: {hostile}\n")
    with contextlib.suppress(OSError):
        failed.rename(failed.with_name(f"GRASP{hostile}"))
    runs, _ = collect([tmp_path])
    said = [str((run.name, run.settings, run.results, run.command, run.reason, run.tables)) for run in runs]
    assert len(said) == 2
    assert all(text.count(r"\\x1b[2J\\u202e") for text in said)
    assert not any(letter in text for text in said for letter in hostile if not letter.isprintable())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_a_table_end_as_any_machine_ends_them(make_run_folder, tmp_path, end):
    metrics = make_run_folder("SNIP", 1) / "output" / "metrics.csv"
    metrics.write_bytes(metrics.read_bytes().replace(b"\n", end.encode()))
    (run,), _ = collect([tmp_path])
    assert [row["epoch"] for row in run.epochs] == [1, 2]
