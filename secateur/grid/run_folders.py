"""The run folders of a grid: which runs they are of, what came of each, and what goes on from there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from secateur.grid.controls import flags_of_results, waits_for
from secateur.grid.trials import Trial, key_of
from secateur.runs.checkpoint_metadata import other_format, states_in
from secateur.runs.files import read_checksummed, read_text
from secateur.runs.log import is_locked
from secateur.runs.resuming import has_finished
from secateur.utils.errors import UserError

#: How the log of a run names what ended it, if that was no error of its own.
INTERRUPTIONS = ("KeyboardInterrupt", "SystemExit")


def folders_by_key(folder: Path) -> dict[str, list[Path]]:
    """The run folders of each run, the newest last. Raises `UserError` where they cannot be listed."""
    found: dict[str, list[Path]] = {}
    try:
        there = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"the grid's folder {folder} cannot be read: {error.strerror}") from error
    for path in there:
        if key := key_of(path):
            found.setdefault(key, []).append(path)
    return found


def folders_of(trial: Trial, folder: Path) -> list[Path]:
    """The run folders of one run, the newest last."""
    return sorted(path for path in folder.glob(f"*_{trial.key}*") if key_of(path))


def results_of(trial: Trial, folder: Path) -> dict[str, Any] | None:
    """The results of a run that has finished; None where there are none, or of another run of the same name.

    A tester that trains its network first leaves the folder of that training too.
    """
    try:
        results = read_checksummed(folder / "output" / "results.json")
        evaluated = read_checksummed(folder / "output" / "arguments.json")["eval"]
    except (OSError, ValueError, KeyError):
        return None
    return None if results.get("interrupted") or evaluated != ("eval" in trial.settings) else results


def interrupted(trial: Trial, folders: list[Path]) -> Path | None:
    """The folder that `--resume` goes on with: the newest one, if it has a state and its run was interrupted or killed.

    A run that has ended by an error of its own is begun anew, and so is one whose state cannot be read, as of another
    version.
    """
    if not folders or "eval" in trial.settings:
        return None
    newest = folders[-1]
    state = newest / "state"
    try:
        if has_finished(newest) or not states_in(state) or other_format(state) is not None:
            return None
        evaluated = read_checksummed(newest / "output" / "arguments.json")["eval"]
        log = read_text(newest / "output" / "log.txt", "replace")
    except (OSError, ValueError, KeyError):
        return None
    ends = re.findall(r" ended by (\w+): ", log)
    of_its_own = ends and ends[-1] not in INTERRUPTIONS
    return None if evaluated or of_its_own or is_locked(newest / "output" / "log.txt") else newest


def command_of(trial: Trial, folder: Path) -> list[str]:
    """The arguments of main.py that make this run in a folder below `folder`, or go on where it was interrupted.

    Raises `UserError` for a control of a run that has not finished.
    """
    begun = interrupted(trial, folders_of(trial, folder))
    if begun:
        return ["--resume", str(begun.absolute()), *(["--resume_anyway"] if trial.resume_anyway else [])]
    argv = [*trial.argv, *flags_of_results(trial, folders_by_key(folder) if waits_for(trial) else {})]
    return [*argv, "--results_dir", str(folder), "--run_name", trial.label]
