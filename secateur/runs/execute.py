"""A run from its beginning to its end: the parts, the folder, the trainer or tester, the results."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pluggy

from secateur.config.registry import Registry
from secateur.config.settings import Settings
from secateur.hooks import observed_by_none
from secateur.measuring.latency import latency_figures
from secateur.measuring.sparsity import network_figures
from secateur.observers.project import guard_observers, project_observers
from secateur.parallel.collectives import gathered
from secateur.runs.assemble import assemble
from secateur.runs.checkpoint import read_last_state
from secateur.runs.checkpoint_metadata import beside
from secateur.runs.differences import differences
from secateur.runs.export import check_packages, export
from secateur.runs.failures import disk_reason, explain, explained, is_disk_error, quiet_threads
from secateur.runs.files import remove_parts
from secateur.runs.folder import RunFolder, beginning
from secateur.runs.log import FileLog
from secateur.runs.run import Run
from secateur.training.state_checks import check_progress
from secateur.utils.errors import UserError, one_line, raised_at


def execute(
    settings: Settings,
    registry: Registry,
    hooks: pluggy.PluginManager,
    argv: list[str],
    origin: str | None = None,
) -> Path:
    """Train or test as the settings say; returns the run folder.

    `origin` is for the log: where the network that is tested comes from, if the command does not say it. Raises
    `UserError` before anything is written where the parts do not fit together.
    """
    started = time.perf_counter()
    with explained(settings), quiet_threads():
        if settings["export"]:
            check_packages(settings["export"])
        run = assemble(settings, registry, hooks)
        testing = run.checkpointing.eval
        scheme = settings.components["test_scheme" if testing else "train_scheme"].load()(run)
        if not run.is_main_process:
            return _assist(run, scheme)
        lines = [origin] if origin else []
        if settings.resume:
            log, lines = _reopen(run, hooks)
        else:
            log = _begin(run, argv, hooks)
        gathered(run.folder)
        log.told = run.on_write_error
        run.log.addHandler(log)
        for observer in project_observers(settings):
            hooks.register(observer, name=f"secateur:{type(observer).__name__}")
        guard_observers(hooks, run)
        notices = list(run.notices)
        try:
            run.hooks.run_started(run=run)
            for line in lines:
                run.log.info(line)
            for notice in notices:
                run.log.warning(notice)
            results = _checked(scheme.evaluate() if testing else scheme.train(), scheme)
            # A scheme of another package may leave out what every result holds.
            results = {**network_figures(run), **results, **_of_the_finished(run)}
            results |= {"smoke": run.options.smoke, "notices": run.notices}
            results["seconds"] = time.perf_counter() - started + (run.resumed["seconds"] if run.resumed else 0)
            run.hooks.run_finished(run=run, results=results)
            _see_that_it_is_kept(run, results)
        except BaseException as error:
            _note_the_end(log, error, run)
            run.hooks.run_failed(run=run, error=error)
            if is_disk_error(error):
                raise UserError(f"{run.folder.path} can no longer be written: {disk_reason(error)}") from error
            if isinstance(error, Exception) and explain(error, settings) is None and _is_of_the_state(run, scheme):
                reason = f"{type(error).__name__}: {one_line(error)}{raised_at(error)}"
                raise UserError(
                    f"--resume: {run.folder.path} cannot continue from its state: {reason}; see log.txt"
                ) from error
            raise
        finally:
            log.close()
        if run.interruption is not None:
            raise run.interruption
    return run.folder.path


def _assist(run: Run, scheme: Any) -> Path:
    """Train with the first process, which has the folder and the observers; returns the folder."""
    run.hooks = observed_by_none()
    run.log.addHandler(logging.NullHandler())
    if run.settings.resume:
        run.resumed, _ = read_last_state(RunFolder(run.settings.resume).state, run.device)
    run.folder = gathered(None)[0]
    scheme.train()
    return run.folder.path


def _begin(run: Run, argv: list[str], hooks: pluggy.PluginManager) -> FileLog:
    """Make the folder of a new run and describe the run in it; returns its log."""
    settings = run.settings
    run.folder = RunFolder.new(settings["results_dir"], settings["run_name"])
    try:
        run.folder.describe(argv, settings, beginning(run, hooks))
        log = FileLog(run.folder.output / "log.txt")
    except OSError as error:
        run.folder.remove()
        raise UserError(f"--results_dir {settings['results_dir']}: {disk_reason(error)}") from error
    run.notices += run.folder.clock_notices()
    return log


def _reopen(run: Run, hooks: pluggy.PluginManager) -> tuple[FileLog, list[str]]:
    """Take the folder of an interrupted run, and read the last state that is whole.

    Returns the run's log, and what is to be said in it. Raises `UserError` where the run began with something else
    that decides its numbers, unless `--resume_anyway` is given.
    """
    run.folder = folder = RunFolder(run.settings.resume)
    try:
        log = FileLog(folder.output / "log.txt")
    except OSError as error:
        raise UserError(f"--resume: {folder.path} cannot be written: {disk_reason(error)}") from error
    if not log.locked:
        log.close()
        raise UserError(f"--resume: {folder.path} is still running, in another process")
    differing = list(differences(run, hooks))
    if differing and not run.checkpointing.resume_anyway:
        log.close()
        more = f" (and {len(differing) - 1} more differences)" if len(differing) > 1 else ""
        raise UserError(
            f"--resume: {folder.path}: {differing[0]}{more}: its numbers may differ from an uninterrupted run's; "
            "--resume_anyway continues, and results.json says so"
        )
    remove_parts(folder.path)
    try:
        run.resumed, damaged = read_last_state(folder.state, run.device)
        if run.resumed is not None:
            check_progress(run.resumed, run.plan.epochs)
    except UserError as error:
        _note_the_end(log, error, run)  # a grid then begins the run anew
        log.close()
        raise UserError(f"--resume: {folder.path}: {error}") from error
    run.notices += [f"{one}: the numbers may differ from an uninterrupted run's" for one in differing]
    lines = [f"the last state is damaged, and the run continues from the one before: {reason}" for reason in damaged]
    if run.resumed is None:
        lines.append("no state had been written before the run was interrupted: it starts from scratch")
    return log, lines


def _see_that_it_is_kept(run: Run, results: dict[str, object]) -> None:
    """Try once more, and elsewhere, to write a finished network that could not be written.

    What `--resume` would need goes once the results are there. Raises `UserError` where there is no place for the
    network at all.
    """
    name = f"{run.model_name}_finished"
    elsewhere = Path(tempfile.gettempdir()) / run.folder.path.name
    if name in run.unsaved:
        for folder in (run.folder.models, elsewhere):
            try:
                run.save_to(folder / name, epoch=results.get("epochs"), figures=results)
            except OSError as error:
                reason = disk_reason(error)
            else:
                run.log.warning(f"the finished network is {folder / name}")
                break
        else:
            raise UserError(
                f"the finished network could be written neither to {run.folder.models} nor to {elsewhere}: {reason}"
            )
    if (run.folder.output / "results.json").exists():
        run.folder.remove_states()


def _of_the_finished(run: Run) -> dict[str, object]:
    """What is measured of the network as it will be used: its latency, its size on disk, its exported files.

    After an interruption only what takes no time.
    """
    figures: dict[str, object] = {}
    measured = run.removed or run.options.latency or run.machine.execution != "dense"
    if measured and not run.options.smoke and run.interruption is None:
        figures |= latency_figures(run)
    if run.machine.execution != "dense":
        figures["execution"] = {"way": run.machine.execution, "choices": run.executed.described()}
    checkpoint, finished = run.settings.checkpoint, run.folder.models / f"{run.model_name}_finished"
    path = checkpoint.path if run.checkpointing.eval and checkpoint else finished
    parts = [beside(path, ending) for ending in (".safetensors", ".json")]
    if all(part.exists() for part in parts):  # a scheme of another package may keep none
        figures["checkpoint_bytes"] = sum(part.stat().st_size for part in parts)
    if run.options.export and run.interruption is None:
        figures["exported"] = export(run)
    return figures


def _is_of_the_state(run: Run, scheme: object) -> bool:
    """Whether no epoch has been finished since a state was taken up: what fails then is what the file says."""
    return run.resumed is not None and getattr(scheme, "epoch", 0) <= run.resumed["epoch"]


def _checked(results: Any, scheme: object) -> dict[str, object]:
    if not isinstance(results, dict):
        name = type(scheme).__name__
        raise UserError(f"{name} returns {type(results).__name__} instead of a dictionary, which goes to results.json")
    return results


def _note_the_end(log: logging.Handler, error: BaseException, run: Run) -> None:
    """Write to log.txt alone what ended the run; of a bug with its traceback."""
    entry = {"msg": "ended by %s: %s", "args": (type(error).__name__, error)}
    if isinstance(error, Exception) and explain(error, run.settings) is None:
        entry["exc_info"] = (type(error), error, error.__traceback__)
    with contextlib.suppress(OSError):  # a full disk must not hide what ended the run
        log.handle(logging.makeLogRecord(entry))
