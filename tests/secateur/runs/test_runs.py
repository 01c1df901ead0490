"""What a run tells and keeps where files cannot be written, and what it knows of itself."""

import errno

import pytest

from secateur.runs import run as module
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.runs.failures import defer_signals


@pytest.fixture
def run(make_run):
    """A small run whose log keeps its lines."""
    run = make_run("--model LeNet300 --N 16 --batch_size 8")
    run.told = []
    run.log.warning = run.told.append
    return run


def test_what_cannot_be_written_is_told_once_for_each_reason_and_tried_again(run, monkeypatch):
    error = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_):
        raise error

    notice = f"{run.folder.path} cannot be written; the run continues and tries again: "
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", fail)
        run.save("a", epoch=1)
        run.save("b", epoch=1)
        error = OSError(errno.EIO, "Input/output error")
        run.save("a", epoch=2)
        assert run.unsaved == {"a", "b"}
        with pytest.raises(OSError, match="Input/output error"):
            run.save_to(run.folder.models / "c")
    assert run.told == [f"{notice}No space left on device", f"{notice}Input/output error"]
    assert run.notices[-2:] == run.told
    run.save("a", epoch=3)
    assert run.unsaved == {"b"}
    metadata = find_checkpoint(run.folder.path.parent, run.folder.path.name, "a").metadata
    assert (metadata["epoch"], metadata["cuts"], metadata["model"]) == (3, [], "LeNet300")


def test_a_terminal_that_is_closed_is_no_matter_of_the_disk(run):
    with pytest.raises(BrokenPipeError), run.report_write_errors():
        raise BrokenPipeError
    with pytest.raises(KeyError), run.report_write_errors():
        raise KeyError
    assert run.told == []


def test_of_several_processes_the_first_alone_writes(run, monkeypatch):
    assert run.is_main_process
    monkeypatch.setattr(module, "rank", lambda: 1)
    assert not run.is_main_process
    run.save("a")
    assert list(run.folder.models.iterdir()) == []
    assert run.unsaved == set()


def test_a_run_knows_its_parts(run):
    assert (run.masks, run.criterion, run.plan) == (run.pruner.masks, run.pruner.criterion, run.pruner.plan)
    assert run.removed is run.pruner.removed
    assert run.executed is run.network
    run.model_spec["model"] = "timm:a:b"
    assert run.model_name == "timm_a_b"
    run.notify("once")
    run.notify("once")
    assert run.told == ["once"]
    assert run.sparsity().nonzero == run.dense.nonzero
    assert (run.compared, run.interruption, run.resumed, run.unsaved) == ({}, None, None, set())


def test_signals_are_as_they_were_where_none_can_be_held_back(monkeypatch):
    # what a shell starts in the background ignores them, for which there is no handler to call
    numbers = [2, 15]
    asked = []
    monkeypatch.setattr("secateur.runs.failures.REQUESTS", numbers)
    monkeypatch.setattr("secateur.runs.failures.signal.getsignal", lambda number: 1 if number == 15 else print)
    monkeypatch.setattr("secateur.runs.failures.signal.signal", lambda number, handler: asked.append((number, handler)))
    with defer_signals():
        assert [number for number, _ in asked] == [2]
    assert asked[1:] == [(2, print)]
