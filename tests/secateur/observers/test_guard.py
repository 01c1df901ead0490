"""An observer that fails is named once and ends nothing."""

import errno
import logging
import os
import signal

import pytest

from secateur.hooks import hookimpl, plugin_manager
from secateur.observers.project import guard_observers
from secateur.utils.errors import UserError


class FakeRun:
    def __init__(self):
        self.notices, self.lines = [], []
        self.log = logging.Logger("test")
        self.log.addHandler(self)
        self.level = 0
        self.disk_errors = []

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
