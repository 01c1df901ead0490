"""Which run folders of a grid a run goes on with, from folders made by hand."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from secateur.grid.run_folders import command_of, folders_by_key, folders_of, interrupted
from secateur.grid.trials import Trial
from secateur.utils.errors import UserError
from tests.permissions import only

TRIAL = Trial({"model": ("LeNet300",), "seed": ("1",)}, {"seed": 1})


@pytest.fixture
def make(tmp_path):
    """Make a run folder of `TRIAL`, with a state, as a kill leaves it."""

    def make(date="2026-01-01", ended="", finished=False, state="{}", evaluated=False):
        folder = tmp_path / f"{date}_00.00.00_{TRIAL.label}"
        (folder / "output").mkdir(parents=True)
        (folder / "output" / "arguments.json").write_text(json.dumps({"eval": evaluated}))
        (folder / "output" / "log.txt").write_text(f"12:00 begins\n{f'12:01 ended by {ended}' if ended else ''}\n")
        if state:
            (folder / "state").mkdir()
            (folder / "state" / "state_000001.json").write_text(state)
        if finished:
            (folder / "output" / "results.json").write_text("{}")
        return folder

    return make


def begun_anew(folder):
    return [*TRIAL.argv, "--results_dir", str(folder), "--run_name", TRIAL.label]


def test_a_run_begins_where_there_is_none(tmp_path):
    assert command_of(TRIAL, tmp_path) == begun_anew(tmp_path)


@pytest.mark.parametrize("ended", ["", "KeyboardInterrupt: ", "SystemExit: 143"])
@pytest.mark.parametrize("state", ["{}", '{"format": 2}'])
def test_what_was_killed_or_asked_to_end_goes_on(make, tmp_path, ended, state):
    folder = make(ended=ended, state=state)
    assert command_of(TRIAL, tmp_path) == ["--resume", str(folder)]


@pytest.mark.parametrize(
    "made",
    [
        {"ended": "ValueError: no"},
        {"state": ""},
        {"finished": True, "state": ""},
        {"evaluated": True},
        {"state": '{"format": 1}'},
    ],
    ids=["failed by itself", "killed too early", "finished", "an evaluation", "of another version"],
)
def test_what_failed_has_no_state_or_is_over_is_begun_anew(make, tmp_path, made):
    make(**made)
    assert command_of(TRIAL, tmp_path) == begun_anew(tmp_path)


def test_what_failed_after_it_went_on_is_begun_anew(make, tmp_path):
    folder = make(ended="SystemExit: 143")
    with (folder / "output" / "log.txt").open("a") as log:
        log.write("12:05 continues after 3 epochs of 9\n12:06 ended by UserError: no saved state is intact\n")
    assert interrupted(TRIAL, [folder]) is None


def test_the_newest_folder_counts(make, tmp_path):
    make("2026-01-01")
    make("2026-01-02", ended="ValueError: no")
    assert command_of(TRIAL, tmp_path) == begun_anew(tmp_path)
    newest = make("2026-01-03")
    assert command_of(TRIAL, tmp_path) == ["--resume", str(newest)]
    assert folders_by_key(tmp_path) == {TRIAL.key: folders_of(TRIAL, tmp_path)}


def test_folders_that_may_not_be_read_are_not_taken_for_none(make, tmp_path):
    folder = make()
    with only(0, tmp_path), pytest.raises(UserError, match="cannot be read: Permission denied"):
        folders_by_key(tmp_path)
    with only(0, folder / "output"):
        assert interrupted(TRIAL, [folder]) is None
    assert interrupted(TRIAL, [folder]) == folder


def test_a_damaged_description_is_begun_anew(make, tmp_path):
    (make() / "output" / "arguments.json").write_text("[")
    assert command_of(TRIAL, tmp_path) == begun_anew(tmp_path)


def test_a_run_that_is_still_going_is_left_alone(make):
    folder = make()
    hold = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"
    words = [sys.executable, "-c", hold, folder / "output" / "log.txt"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert interrupted(TRIAL, [folder]) is None
        process.communicate(b"\n", timeout=60)
    assert interrupted(TRIAL, [folder]) == folder


def test_what_differs_from_its_beginning_goes_on_where_the_grid_says_so(make, tmp_path):
    folder = make()
    assert command_of(replace(TRIAL, resume_anyway=True), tmp_path) == ["--resume", str(folder), "--resume_anyway"]
    assert replace(TRIAL, resume_anyway=True).key == TRIAL.key
