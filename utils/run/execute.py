"""A run from its beginning to its end: the parts, the folder, the trainer or tester, the results."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from pathlib import Path
from typing import Any

import pluggy

from utils.errors import UserError
from utils.hooks import plugin_versions
from utils.measure.figures import network_figures
from utils.measure.latency import latency_figures
from utils.observers import project_observers
from utils.observers.guard import guard_observers
from utils.registry import Registry
from utils.run.assemble import assemble
from utils.run.checkpoint_facts import beside
from utils.run.export import check_packages, export
from utils.run.failures import disk_reason, explain, explained, is_disk_error, quiet_threads
from utils.run.folder import RunFolder
from utils.run.log import FileLog
from utils.run.run import Run


def execute(
    arguments: argparse.Namespace,
    registry: Registry,
    hooks: pluggy.PluginManager,
    root: Path,
    argv: list[str],
    origin: str | None = None,
) -> Path:
    """Train or test as the arguments say; returns the run folder.

    `origin` is for the log: where the network that is tested comes from, if the command does not say it. Raises
    `UserError` before anything is written where the parts do not fit together.
    """
    started = time.perf_counter()
    with explained(arguments), quiet_threads():
        check_packages(arguments.export or ())
        run = assemble(arguments, registry, hooks)
        kind, flag = ("testers", "test_scheme") if arguments.eval else ("trainers", "train_scheme")
        scheme = registry.find(kind, getattr(arguments, flag)).load()(run)
        run.folder = RunFolder(arguments.results_dir, arguments.run_name)
        try:
            run.folder.describe(root, argv, arguments, run.device, plugin_versions(hooks))
            log = FileLog(run.folder.output / "log.txt", encoding="utf-8")
        except OSError as error:
            run.folder.remove()
            raise UserError(f"--results_dir {arguments.results_dir}: {disk_reason(error)}") from error
        log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        run.log.addHandler(log)
        for observer in project_observers(arguments):
            hooks.register(observer, name=f"secateur:{type(observer).__name__}")
        guard_observers(hooks, run)
        try:
            run.hooks.run_started(run=run)
            if origin:
                run.log.info(origin)
            for notice in run.notices:
                run.log.warning(notice)
            results = _checked(scheme.evaluate() if arguments.eval else scheme.train(), scheme)
            # A scheme of another package may leave out what every result holds.
            results = {**network_figures(run), **results, **_of_the_finished(run), "notices": run.notices}
            results["seconds"] = time.perf_counter() - started
            run.hooks.run_finished(run=run, results=results)
        except BaseException as error:
            _note_the_end(log, error, run)
            run.hooks.run_failed(run=run, error=error)
            if is_disk_error(error):
                raise UserError(f"{run.folder.path} can no longer be written: {disk_reason(error)}") from error
            raise
        finally:
            with contextlib.suppress(OSError):  # of a full disk, which has been told by now
                log.close()
        if run.interruption is not None:
            raise run.interruption
    return run.folder.path


def _of_the_finished(run: Run) -> dict[str, object]:
    """What is measured of the network as it will be used: its latency, its size on disk, its exported files.

    After an interruption only what takes no time.
    """
    figures: dict[str, object] = {}
    if (run.history or run.arguments.latency) and run.interruption is None:
        figures |= latency_figures(run)
    checkpoint, finished = run.arguments.checkpoint, run.folder.models / f"{run.model_name}_finished"
    path = checkpoint.path if run.arguments.eval and checkpoint else finished
    parts = [beside(path, ending) for ending in (".safetensors", ".json")]
    if all(part.exists() for part in parts):  # a scheme of another package may keep none
        figures["checkpoint_bytes"] = sum(part.stat().st_size for part in parts)
    if run.arguments.export and run.interruption is None:
        figures["exported"] = export(run)
    return figures


def _checked(results: Any, scheme: object) -> dict[str, object]:
    if not isinstance(results, dict):
        name = type(scheme).__name__
        raise UserError(f"{name} returns {type(results).__name__} instead of a dictionary, which goes to results.json")
    return results


def _note_the_end(log: logging.Handler, error: BaseException, run: Run) -> None:
    """Write to log.txt alone what ended the run; of a bug with its traceback."""
    entry = {"msg": "ended by %s: %s", "args": (type(error).__name__, error)}
    if isinstance(error, Exception) and explain(error, run.arguments) is None:
        entry["exc_info"] = (type(error), error, error.__traceback__)
    with contextlib.suppress(OSError):  # a full disk must not hide what ended the run
        log.handle(logging.makeLogRecord(entry))
