"""`--resume`: finds the interrupted run, and the arguments that it has had. Free of torch: it is answered at once."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

import pluggy

from utils.arguments import Parser, parse, with_underscores
from utils.errors import UserError, nearest, one_line
from utils.registry import Registry
from utils.run.files import read_sealed
from utils.run.lock import is_locked

#: Flags that may stand beside --resume: none of a run's numbers depends on them, but on --device in its last bits.
BESIDE = ("data_dir", "device", "disable_plugin", "max_training_minutes", "save_freq", "save_minutes")
#: Settings that name a place, as they are in the run's own arguments: what is typed may have meant another one since.
PLACES = ("data_dir", "results_dir", "checkpoint_name", "checkpoint_model")


def resumed_arguments(
    argv: list[str], registry: Registry, hooks: pluggy.PluginManager
) -> tuple[argparse.Namespace, list[str]] | None:
    """Return the arguments of the run that `--resume` names, with its folder as `resume`, and its command line.

    None where the flag was not typed, or with `--help`. Raises `UserError` for a run that cannot be resumed, and for a
    flag that would make it another run.
    """
    words = [with_underscores(word) for word in argv]
    parser = Parser()
    for flag in ("resume", "results_dir", *BESIDE):
        parser.add_argument(f"--{flag}")
    parser.add_argument("-h", "--help", action="store_true")
    typed, rest = parser.parse_known_args(words)
    if typed.resume is None or typed.help:
        return None
    if rest:
        raise UserError(
            f"{rest[0].partition('=')[0]} cannot stand beside --resume, which goes on under the run's own arguments; "
            f"these can: --{', --'.join(BESIDE)}"
        )
    folder = find_interrupted(Path(typed.results_dir or registry.root / "gitignored" / "results"), typed.resume)
    settings, own = _settings(folder), _command_line(folder)
    if settings.get("eval"):
        raise UserError(f"--resume: {folder} is an evaluation, which is not resumed: call it again")
    changed = {name: value for name in BESIDE if (value := getattr(typed, name)) is not None}
    places = {name: settings[name] for name in PLACES if settings.get(name)}
    command = [*own, *(f"--{name}={value}" for name, value in (places | changed).items())]
    arguments = parse(command, registry, hooks)
    _take_over(arguments, {name: value for name, value in settings.items() if name not in changed})
    arguments.resume = folder
    return arguments, command


def find_interrupted(results: Path, name: str) -> Path:
    """Return the folder of an unfinished run: a folder of `results`, a path, or `latest`.

    Raises `UserError` where there is none, where it has finished, and where it is still running.
    """
    if name == "latest":
        stopped = [folder for folder in _trainings(results) if not has_finished(folder) and not _is_running(folder)]
        if not stopped:
            raise UserError(f"--resume latest: there is no interrupted run in {results}")
        return max(stopped, key=lambda folder: (folder / "output" / "log.txt").stat().st_mtime_ns).absolute()
    folder = next((path for path in (results / name, Path(name)) if _is_run(path)), None)
    if folder is None and name in {path.parent.name for path in results.glob("*/codebase")}:
        raise UserError(f"--resume: {results / name} had not begun when it was interrupted: call its command again")
    if folder is None:
        there = [path.name for path in _trainings(results) if not has_finished(path)]
        raise UserError(f"--resume: there is no run folder '{name[:100]}' in {results}{nearest(name, there)}")
    if has_finished(folder):
        raise UserError(f"--resume: {folder} has finished: there is nothing to go on with")
    if _is_running(folder):
        raise UserError(f"--resume: {folder} is still running, in another process")
    return folder.absolute()


def has_finished(folder: Path) -> bool:
    """Whether a run has come to its end: its states are removed last."""
    return (folder / "output" / "results.json").exists() and not (folder / "state").exists()


def _trainings(results: Path) -> list[Path]:
    found = []
    for path in filter(_is_run, results.glob("*")):
        with contextlib.suppress(UserError):  # what cannot be read is not meant
            if not _settings(path).get("eval"):
                found.append(path)
    return found


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "output" / "arguments.json").is_file() and (folder / "output" / "log.txt").is_file()
    except OSError:  # as of a name longer than any file's
        return False


def _is_running(folder: Path) -> bool:
    return is_locked(folder / "output" / "log.txt")


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "output" / "arguments.json"
    try:
        settings = read_sealed(path)
        if not isinstance(settings.get("explicit"), list):
            raise ValueError("these are no arguments of a run")
    except (OSError, ValueError) as error:
        raise UserError(f"--resume: {path} cannot be read: {one_line(error)}") from error
    return settings


def _command_line(folder: Path) -> list[str]:
    """The words that the run was called with."""
    path = folder / "output" / "calling_command.txt"
    try:
        words = shlex.split(path.read_text(encoding="utf-8").partition("\n# called in ")[0])
    except (OSError, ValueError) as error:
        raise UserError(f"--resume: {path} cannot be read: {one_line(error)}") from error
    return words[2:]  # behind python3 main.py


def _take_over(arguments: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Let the settings of the run have the last word, where a default or a data set says something else by now."""
    for name, value in settings.items():
        now = getattr(arguments, name, None)
        if name != "explicit" and json.loads(json.dumps(now, default=str)) != value:
            setattr(arguments, name, Path(value) if isinstance(now, Path) else value)
    arguments.explicit = set(settings["explicit"])
