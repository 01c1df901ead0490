"""The project's own observers, and what lets a run survive any observer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pluggy

from secateur.config.settings import Settings
from secateur.observers.console import Console
from secateur.observers.pictures import Pictures
from secateur.observers.records import Records
from secateur.observers.tensorboard import TensorBoard
from secateur.observers.weight_tracker import WeightTracker
from secateur.runs.failures import defer_signals, is_disk_error
from secateur.runs.run import Run
from secateur.utils.errors import UserError, one_line, raised_at


def project_observers(settings: Settings) -> list[object]:
    """Return the observers of a run. The last one is called first: records are written before anything is drawn."""
    drawing = [kind(**settings.options_for(kind)) for kind in (Pictures, TensorBoard)]
    tracker = WeightTracker(**settings.options_for(WeightTracker))
    return [Console(), *drawing, Records(), *([tracker] if tracker.track_weights else [])]


#: The hooks that observe a run.
HOOKS = (
    "run_started",
    "run_resumed",
    "on_save_state",
    "batch_finished",
    "epoch_finished",
    "pruned",
    "evaluated",
    "table_created",
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
    for hook in HOOKS:
        for implementation in getattr(hooks.hook, hook).get_hookimpls():
            if not (implementation.wrapper or implementation.hookwrapper):  # these are generators
                implementation.function = _guarded(implementation, hook, run, failed)


def _has_vanished(error: Exception, run: Run) -> bool:
    """Whether a file or folder of the run was deleted."""
    return isinstance(error, FileNotFoundError) and str(error.filename).startswith(str(run.folder.path))


def _guarded(implementation: pluggy.HookImpl, hook: str, run: Run, failed: set[str]) -> Callable[..., Any]:
    function, name = implementation.function, implementation.plugin_name

    def call(*arguments: Any) -> Any:
        try:
            # At every batch that would cost a tenth of a small network's step, and nothing there waits for a thread.
            with contextlib.nullcontext() if hook == "batch_finished" else defer_signals():
                return function(*arguments)
        except Exception as error:  # of the observer's own code
            if isinstance(error, UserError | BrokenPipeError) and hook != "run_failed":
                raise
            if is_disk_error(error) or _has_vanished(error, run):
                run.on_write_error(error)
            elif name not in failed:
                failed.add(name)
                reason = f"{type(error).__name__}: {one_line(error)}{raised_at(error)}"
                notice = f"the observer {name} failed at {hook}; the run continues without it: {reason}"
                run.notices.append(notice)
                # Where the run has failed, the log may be what cannot be written.
                with contextlib.suppress(OSError) if hook == "run_failed" else contextlib.nullcontext():
                    run.log.warning(notice)
        return None

    return call
