"""In which words a run is refused that cannot go on, and which of several goes on."""

import os

import pytest

from secateur.runs.files import write_checksummed
from secateur.runs.resuming import find_interrupted, has_finished
from secateur.utils.errors import UserError


@pytest.fixture
def make(tmp_path):
    """Make a run folder below results/ whose log was written at a time; `parts` says what is not usual of it."""

    def make(name, written=1000, *, settings=None, finished=False, state=False, log=True):
        folder = tmp_path / "results" / name
        for part in ("codebase", "output", *(["state"] if state else [])):
            (folder / part).mkdir(parents=True)
        if settings is not False:
            write_checksummed(folder / "output" / "arguments.json", {"explicit": [], **(settings or {})})
        if log:
            (folder / "output" / "log.txt").write_text("begins\n")
            os.utime(folder / "output" / "log.txt", (written, written))
        if state:
            (folder / "state" / "state_000001.json").write_text("{}")
        if finished:
            (folder / "output" / "results.json").write_text("{}")
        return folder

    return make


def line(results, name):
    """The line by which a run is refused, with RESULTS for its folder."""
    with pytest.raises(UserError) as caught:
        find_interrupted(results, name)
    return str(caught.value).replace(str(results), "RESULTS")


def test_a_run_is_named_by_its_folder_or_its_path(make, tmp_path, monkeypatch):
    folder, other = make("run"), make("../elsewhere")
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    assert find_interrupted(results, "run") == find_interrupted(results, str(folder)) == folder
    assert find_interrupted(results, "elsewhere") == other.resolve()
    make("elsewhere")
    assert find_interrupted(results, "elsewhere") == results / "elsewhere"


def test_a_run_that_cannot_go_on_is_told_in_full(make, tmp_path):
    results = tmp_path / "results"
    assert line(results, "run") == "--resume: there is no run folder 'run' in RESULTS"
    assert line(results, "latest") == "--resume latest: there is no interrupted run in RESULTS"
    make("early", log=False)
    make("earlier", settings=False)
    make("done", finished=True)
    for name in ("early", "earlier"):
        assert line(results, name) == f"--resume: RESULTS/{name} was interrupted before it began: run its command again"
    assert line(results, "done") == "--resume: RESULTS/done has finished: there is nothing to continue"
    assert line(results, "dona") == "--resume: there is no run folder 'dona' in RESULTS"
    make("dones")
    assert line(results, "dona") == "--resume: there is no run folder 'dona' in RESULTS: did you mean dones?"
    for length in (101, 5000):
        name = "x" * length
        assert line(results, name) == f"--resume: there is no run folder '{'x' * 100}' in RESULTS: there is dones"


def test_a_run_has_finished_when_its_states_are_gone(make):
    assert [has_finished(make(str(number), finished=done, state=state)) for number, (done, state) in enumerate(
        [(False, False), (False, True), (True, True), (True, False)]
    )] == [False, False, False, True]  # fmt: skip


def test_of_interrupted_trainings_the_last_to_write_is_the_latest(make, tmp_path):
    results = tmp_path / "results"
    make("z", 1000)
    wanted = make("m", 2000)
    make("a", 1500)
    make("test", 3000, settings={"eval": True})
    make("trial", 3001, settings={"smoke": True})
    make("done", 3002, finished=True)
    make("damaged", 3003, settings={"explicit": 3})
    make("flags", 3004, settings={"explicit": ["a", 3]})
    (results / "file").write_text("")
    assert find_interrupted(results, "latest") == wanted
    (wanted / "output" / "results.json").write_text("{}")
    assert find_interrupted(results, "latest") == results / "a"
