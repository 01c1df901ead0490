"""Which run `--resume` goes on with, from folders made by hand."""

import os

import pytest

from secateur.runs import resuming
from secateur.runs.files import write_checksummed
from secateur.runs.resuming import find_interrupted
from secateur.utils.errors import UserError
from tests.permissions import only


@pytest.fixture
def make(tmp_path):
    """Make a run folder below results/, whose log was written at a time."""

    def make(name, written, *, finished=False, evaluated=False):
        folder = tmp_path / "results" / name
        (folder / "codebase").mkdir(parents=True)
        (folder / "output").mkdir()
        write_checksummed(folder / "output" / "arguments.json", {"explicit": [], "eval": evaluated})
        (folder / "output" / "log.txt").write_text("begins\n")
        os.utime(folder / "output" / "log.txt", (written, written))
        if finished:
            (folder / "output" / "results.json").write_text("{}")
        return folder

    return make


def test_of_many_runs_those_that_are_younger_are_opened_alone(make, tmp_path, monkeypatch):
    for number in range(60):
        make(f"old_{number}", 1000 + number, finished=number % 2)
    wanted = make("wanted", 3000)
    make("test", 4000, evaluated=True)
    for number in range(40):
        make(f"new_{number}", 5000 + number, finished=True)
    opened, read = [], resuming.read_checksummed
    monkeypatch.setattr(resuming, "read_checksummed", lambda path: opened.append(path.parent.parent.name) or read(path))
    assert find_interrupted(tmp_path / "results", "latest") == wanted
    assert opened == ["test", "wanted"]


def test_what_may_not_be_read_is_named(make, tmp_path):
    folder, output = make("closed", 1), tmp_path / "results" / "closed" / "output"
    with only(0, output):
        for name in ("closed", str(folder)):
            with pytest.raises(
                UserError, match=r"^--resume: .*/output/arguments.json cannot be read: Permission denied$"
            ):
                find_interrupted(tmp_path / "results", name)
        with pytest.raises(
            UserError, match=r"no interrupted run in .*/output/arguments.json cannot be read: Permission"
        ):
            find_interrupted(tmp_path / "results", "latest")
    with only(0, tmp_path / "results"), pytest.raises(UserError, match=r"results.* cannot be read: Permission denied"):
        find_interrupted(tmp_path / "results", "latest")
    assert find_interrupted(tmp_path / "results", "latest") == folder


def test_a_run_that_may_not_be_written_or_read_is_one_line_and_is_left_as_it_was(run, stopped):
    folder = stopped()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    output, state = folder / "output", folder / "state"
    for mode, paths, told in (
        (0o500, [output, output / "log.txt"], "cannot be written: Permission denied"),
        (0, [output], "arguments.json cannot be read: Permission denied"),
        (0, [state], "state cannot be read: Permission denied"),
        (0, [output / "calling_command.txt"], "calling_command.txt cannot be read: "),
    ):
        with only(mode, *paths):
            refused = run("--resume latest")
        assert (refused.status, refused.err.count("\n")) == (2, 1), told
        assert told in refused.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert run("--resume latest").status == 0
