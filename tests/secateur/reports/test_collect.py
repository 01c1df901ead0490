"""Run folders: found at any depth, and never left out without a word."""

import pytest

from secateur.reports.collect import collect
from secateur.utils.errors import UserError


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
