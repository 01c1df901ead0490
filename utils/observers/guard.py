"""An observer that raises must not end a run: it is named once, and the run goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pluggy

from utils.errors import UserError, one_line, raised_at
from utils.run.failures import is_disk_error
from utils.run.interruptions import held_back
from utils.run.run import Run

#: The hooks that observe a run.
EVENTS = (
    "run_started",
    "run_resumed",
    "state_wanted",
    "batch_finished",
    "epoch_finished",
    "pruned",
    "evaluated",
    "tabulated",
    "run_finished",
    "run_failed",
)


def guard_observers(hooks: pluggy.PluginManager, run: Run) -> None:
    """Let the run survive its observers.

    A `UserError`, by which an observer refuses the run, still ends it, and so does a closed pipe. A disk that cannot be
    written is told once, and the observer is called again when its turn comes. Ctrl-C waits until the observer is done:
    TensorBoard's could not be closed any more if its queue were left in the midst.
    """
    failed: set[str] = set()
    for event in EVENTS:
        for implementation in getattr(hooks.hook, event).get_hookimpls():
            if not (implementation.wrapper or implementation.hookwrapper):  # these are generators
                implementation.function = _guarded(implementation, event, run, failed)


def _has_vanished(error: Exception, run: Run) -> bool:
    """Whether a file or folder of the run was deleted."""
    return isinstance(error, FileNotFoundError) and str(error.filename).startswith(str(run.folder.path))


def _guarded(implementation: pluggy.HookImpl, event: str, run: Run, failed: set[str]) -> Callable[..., Any]:
    function, name = implementation.function, implementation.plugin_name

    def call(*arguments: Any) -> Any:
        try:
            # At every batch that would cost a tenth of a small network's step, and nothing there waits for a thread.
            with contextlib.nullcontext() if event == "batch_finished" else held_back():
                return function(*arguments)
        except Exception as error:  # of the observer's own code
            if isinstance(error, UserError | BrokenPipeError) and event != "run_failed":
                raise
            if is_disk_error(error) or _has_vanished(error, run):
                run.cannot_write(error)
            elif name not in failed:
                failed.add(name)
                reason = f"{type(error).__name__}: {one_line(error)}{raised_at(error)}"
                notice = f"the observer {name} failed at {event}, and the run goes on without what it does: {reason}"
                run.notices.append(notice)
                # Where the run has failed, the log may be what cannot be written.
                with contextlib.suppress(OSError) if event == "run_failed" else contextlib.nullcontext():
                    run.log.warning(notice)
        return None

    return call
