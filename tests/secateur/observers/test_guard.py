"""An observer that fails is named once and ends nothing."""

import errno
import logging
import os
import signal
from types import SimpleNamespace

import pytest

from secateur.hooks import hookimpl, plugin_manager
from secateur.observers.project import guard_observers, project_observers
from secateur.utils.errors import UserError


class FakeRun:
    def __init__(self):
        self.notices, self.lines = [], []
        self.log = logging.Logger("test")
        self.log.addHandler(self)
        self.level = 0
        self.disk_errors = []
        self.folder = SimpleNamespace(path="results/run")

    def on_write_error(self, error):
        self.disk_errors.append(error)

    def handle(self, record):
        self.lines.append(record.getMessage())


class Failing:
    def __init__(self, error):
        self.error, self.calls = error, 0

    @hookimpl
    def pruned(self):
        self.calls += 1
        raise self.error

    @hookimpl
    def run_failed(self):
        raise self.error


class Counting:
    calls = 0

    @hookimpl
    def pruned(self):
        self.calls += 1


@pytest.fixture
def guarded():
    """Registers observers below guards; returns the hooks and the run."""

    def make(*observers):
        hooks, _ = plugin_manager()
        for observer in observers:
            hooks.register(observer, name=type(observer).__name__)
        run = FakeRun()
        guard_observers(hooks, run)
        return hooks.hook, run

    return make


def test_it_is_named_once_with_its_line_and_the_others_are_called(guarded):
    before, failing, after = Counting(), Failing(ValueError("no\nnumbers")), type("Other", (Counting,), {})()
    hook, run = guarded(before, failing, after)
    for _ in range(3):
        hook.pruned(run=run, step=None)
    assert (before.calls, failing.calls, after.calls) == (3, 3, 3)
    (notice,) = run.notices
    assert run.lines == [notice]
    assert notice.startswith("the observer Failing failed at pruned; the run continues without it: ")
    assert "ValueError: no numbers" in notice
    assert "test_guard.py:" in notice


def test_a_full_disk_is_told_each_time_and_ends_nothing(guarded):
    failing = Failing(OSError(errno.ENOSPC, "full"))
    hook, run = guarded(failing)
    hook.pruned(run=run, step=None)
    hook.pruned(run=run, step=None)
    assert (failing.calls, run.disk_errors, run.notices) == (2, [failing.error] * 2, [])


@pytest.mark.parametrize("error", [UserError("no"), BrokenPipeError()])
def test_refusals_and_closed_pipes_end_the_run_but_hide_no_other_error(guarded, error):
    hook, run = guarded(Failing(error))
    with pytest.raises(type(error)):
        hook.pruned(run=run, step=None)
    hook.run_failed(run=run, error=KeyboardInterrupt())
    assert len(run.notices) == 1


def test_ctrl_c_waits_until_an_observer_is_done_and_leaves_out_the_next(guarded):
    class Interrupted(Counting):
        @hookimpl
        def pruned(self):
            os.kill(os.getpid(), signal.SIGINT)
            self.calls += 1

    after, interrupted = Counting(), Interrupted()
    hook, run = guarded(after, interrupted)  # the last that is registered is called first
    with pytest.raises(KeyboardInterrupt):
        hook.pruned(run=run, step=None)
    assert (interrupted.calls, after.calls, run.notices) == (1, 0, [])


def test_a_file_of_the_run_that_has_vanished_is_told_as_a_disk_error(guarded):
    gone = FileNotFoundError(errno.ENOENT, "gone", "results/run/output/metrics.csv")
    hook, run = guarded(Failing(gone))
    hook.pruned(run=run, step=None)
    assert (run.disk_errors, run.notices) == ([gone], [])
    for error in (
        FileNotFoundError(errno.ENOENT, "gone", "elsewhere"),
        IsADirectoryError(21, "x", "results/run/output"),
    ):
        hook, run = guarded(Failing(error))
        hook.pruned(run=run, step=None)
        assert (run.disk_errors, len(run.notices)) == ([], 1)


def test_where_the_run_has_failed_a_log_that_cannot_be_written_hides_no_error(guarded):
    hook, run = guarded(Failing(ValueError("no")))

    def full(record):
        raise OSError("full")

    run.handle = full
    hook.run_failed(run=run, error=KeyboardInterrupt())
    assert len(run.notices) == 1
    hook, run = guarded(Failing(ValueError("no")))
    run.handle = full
    with pytest.raises(OSError, match="full"):
        hook.pruned(run=run, step=None)


def test_ctrl_c_ends_a_batch_at_once(guarded):
    class Interrupted(Counting):
        @hookimpl
        def batch_finished(self):
            os.kill(os.getpid(), signal.SIGINT)
            self.calls += 1

    interrupted = Interrupted()
    hook, run = guarded(interrupted)
    with pytest.raises(KeyboardInterrupt):
        hook.batch_finished(run=run, epoch=0, batch=0, batches=1, means=None)
    assert interrupted.calls == 0


@pytest.mark.parametrize("how", [{"wrapper": True}, {"hookwrapper": True}])
def test_an_observer_may_stand_around_the_others(guarded, how):
    class Around(Counting):
        @hookimpl(**how)
        def pruned(self):
            self.calls += 1
            found = yield
            self.calls += 1
            return found

    around, within = Around(), Counting()
    hook, run = guarded(around, within)
    hook.pruned(run=run, step=None)
    assert (around.calls, within.calls, run.notices) == (2, 1, [])


def test_weights_are_tracked_where_that_was_asked_for(make_settings):
    usual = ["Console", "Pictures", "TensorBoard", "Records"]
    assert [type(one).__name__ for one in project_observers(make_settings())] == usual
    found = project_observers(make_settings("--track_weights --plot_weights_freq 7 --disable_histograms"))
    assert [type(one).__name__ for one in found] == [*usual, "WeightTracker"]
    assert (found[1].plot_weights_freq, found[2].disable_histograms) == (7, True)
