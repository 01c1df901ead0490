"""`--resume`: finds the interrupted run, and the settings that it has had. Free of torch: it is answered at once."""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy

from secateur.config.command_line import own_components, parse
from secateur.config.names import NAMED_BY
from secateur.config.parser import Parser, flags_of, options_of_readers, usual_options, with_underscores
from secateur.config.places import home
from secateur.config.registry import Registry
from secateur.config.settings import Settings
from secateur.config.source import Declared
from secateur.runs.checkpoint_metadata import STATE_FORMAT, other_format, states_in
from secateur.runs.files import read_checksummed, read_text
from secateur.runs.log import is_locked
from secateur.utils.errors import UserError, nearest, one_line

#: What is asked instead of a run, and how several are run.
QUESTIONS, MANY_RUNS = "secateur.config.questions:Questions", "secateur.grid.options:GridOptions"


def resumed_settings(
    argv: list[str], registry: Registry, hooks: pluggy.PluginManager
) -> tuple[Settings, list[str]] | None:
    """Return the settings of the run that `--resume` names, with its folder as `resume`, and its command line.

    None where the flag was not typed, or with `--help`. Raises `UserError` for a run that cannot be resumed, and for a
    flag that would make it another run.
    """
    words = [with_underscores(word) for word in argv]
    known = [*options_of_readers(hooks), *usual_options(registry)]
    beside = [one for one in known if one.option.on_resume]
    parser = Parser([*beside, *(one for one in known if one.option.flag in ("resume", "results_dir", "help"))])
    typed, rest = parser.typed(words)
    if "resume" not in typed or "help" in typed:
        return None
    if rest:
        flags = ", ".join(f"--{one.option.flag}" for one in sorted(beside, key=lambda one: one.option.flag))
        raise UserError(
            f"{rest[0].partition('=')[0]} cannot be combined with --resume, which continues with the run's own "
            f"arguments; these can: {flags}"
        )
    results = typed.get("results_dir") or home() / "gitignored" / "results"
    folder = find_interrupted(results, typed["resume"])
    recorded, own = _settings(folder), _command_line(folder)
    _check_command(folder, own, known)
    if recorded.get("eval") is True:
        raise UserError(f"--resume: {folder} is an evaluation, which is not resumed: call it again")
    try:
        found = other_format(folder / "state")
    except OSError as error:
        raise UserError(f"--resume: {_reason(error)}") from error
    if found is not None:
        raise UserError(
            f"--resume: {folder} was interrupted in another version: its state has the format {found!r}, and this "
            f"version reads {STATE_FORMAT}; continue with its own code, in {folder / 'codebase'}, or call its command "
            "again"
        )
    anyway = typed.pop("resume_anyway", False)
    changed = {one.option.flag for one in beside} & typed.keys()
    # What is typed of places may have meant another one since; a component's default may be another by now.
    taken = {one.option.flag for one in known if one.option.is_path} - flags_of(QUESTIONS) - flags_of(MANY_RUNS)
    said = {flag: recorded.get(flag) for flag in sorted((taken | NAMED_BY.keys()) - changed - {"test_scheme"})}
    command = [*own, *(f"--{flag}={value}" for flag, value in said.items() if value and isinstance(value, str))]
    command += _words_of(changed, words, parser)
    registry.search(own_components(command))
    settings = parse(command, registry, hooks)
    _check_recorded(folder, recorded, settings)
    taken = _taken_over(settings, {flag: value for flag, value in recorded.items() if flag not in changed})
    settings = settings.with_values(**taken, resume_anyway=anyway)
    return replace(settings, given=frozenset(recorded["explicit"]), resume=folder), command


def _words_of(flags: set[str], words: list[str], parser: Parser) -> list[str]:
    """The words of a command line that say these flags."""
    typed, _ = parser.typed(words)
    said = {flag: typed[flag] for flag in sorted(flags)}
    return [f"--{flag}={','.join(value) if isinstance(value, list) else value}" for flag, value in said.items()]


def find_interrupted(results: Path, name: str) -> Path:
    """Return the folder of an unfinished run: a folder of `results`, a path, or `latest`.

    Raises `UserError` where there is none, where it cannot be read, where it has finished, and where it is running.
    """
    if name == "latest":
        return _latest(results).absolute()
    try:
        folder = next((path for path in (results / name, Path(name)) if _began(path)), None)
        if folder is None and (results / name / "codebase").is_dir():
            raise UserError(f"--resume: {results / name} was interrupted before it began: run its command again")
        if folder and has_finished(folder):
            raise UserError(f"--resume: {folder} has finished: there is nothing to continue")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise UserError(f"--resume: {_reason(error)}") from error
        folder = None
    if folder is None:
        there = [path.name for path in _begun(results)[0] if not has_finished(path)]
        raise UserError(f"--resume: there is no run folder '{name[:100]}' in {results}{nearest(name, there)}")
    if _is_running(folder):
        raise UserError(f"--resume: {folder} is still running, in another process")
    return folder.absolute()


def has_finished(folder: Path) -> bool:
    """Whether a run has come to its end: its states are removed last."""
    return (folder / "output" / "results.json").exists() and not states_in(folder / "state")


def _latest(results: Path) -> Path:
    """The interrupted training that was the last to write a line of its log.

    Of thousands of runs those that are younger are opened alone.
    """
    begun, unread = _begun(results)
    for folder in begun:
        with contextlib.suppress(UserError):  # what cannot be read is not meant
            if not has_finished(folder) and _trains(_settings(folder)) and not _is_running(folder):
                return folder
    raise UserError(f"--resume latest: there is no interrupted run in {results}{f'; {unread[0]}' if unread else ''}")


def _trains(settings: dict[str, Any]) -> bool:
    """Whether they are those of a training that is worth going on with."""
    return not (settings.get("eval") or settings.get("smoke"))


def _begun(results: Path) -> tuple[list[Path], list[str]]:
    """The run folders in a folder, the last to write a line of its log first; and a line for what cannot be read."""
    times, unread = {}, []
    try:
        folders = [*results.iterdir()] if results.is_dir() else []
    except OSError as error:
        raise UserError(f"--resume: {_reason(error)}") from error
    for folder in folders:
        try:
            if _began(folder):
                times[folder] = (folder / "output" / "log.txt").stat().st_mtime_ns
        except OSError as error:
            unread.append(_reason(error))
    return sorted(times, key=times.__getitem__, reverse=True), unread


def _began(folder: Path) -> bool:
    """Whether a folder is that of a run that has begun. Raises `OSError` where it may not be looked into."""
    return (folder / "output" / "arguments.json").is_file() and (folder / "output" / "log.txt").is_file()


def _reason(error: OSError) -> str:
    return f"{str(error.filename)[:300]} cannot be read: {error.strerror}"


def _is_running(folder: Path) -> bool:
    return is_locked(folder / "output" / "log.txt")


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "output" / "arguments.json"
    try:
        settings = read_checksummed(path)
        explicit = settings.get("explicit")
        if not isinstance(explicit, list) or not all(isinstance(flag, str) for flag in explicit):
            raise ValueError("these are not the arguments of a run")
    except (OSError, ValueError) as error:
        raise UserError(f"--resume: {path} cannot be read: {one_line(error)}") from error
    return settings


def _command_line(folder: Path) -> list[str]:
    """The words that the run was called with."""
    path = folder / "output" / "calling_command.txt"
    try:
        words = shlex.split(read_text(path).partition("\n# called in ")[0])
    except (OSError, ValueError) as error:
        raise UserError(f"--resume: {path} cannot be read: {one_line(error)}") from error
    return words[2:]  # behind python3 main.py


def _check_command(folder: Path, words: list[str], known: list[Declared]) -> None:
    """Refuse the command line of something else than one run, which no run has been called with."""
    path = folder / "output" / "calling_command.txt"
    others = {"resume", "resume_anyway", *flags_of(QUESTIONS), *flags_of(MANY_RUNS)}
    try:
        typed, _ = Parser(known).typed([with_underscores(word) for word in words])
    except UserError as error:
        raise UserError(f"--resume: {path} cannot be read: {error}") from error
    if asked := sorted(others & typed.keys()):
        raise UserError(f"--resume: {path} is of no run: it says --{asked[0]}")


def _check_recorded(folder: Path, recorded: dict[str, Any], settings: Settings) -> None:
    """Refuse arguments that no command line gives. Raises `UserError` naming the first."""
    path = folder / "output" / "arguments.json"
    if unknown := [flag for flag in recorded["explicit"] if flag not in settings.declared]:
        raise UserError(f"--resume: {path} cannot be read: unknown flag --{unknown[0][:80]}")
    for flag, one in settings.declared.items():
        value = recorded.get(flag)
        if value is not None and flag not in flags_of(QUESTIONS):
            try:
                one.option.checked(value)
            except UserError as error:
                raise UserError(f"--resume: {path} cannot be read: {error}") from error


def _taken_over(settings: Settings, recorded: dict[str, Any]) -> dict[str, Any]:
    """The values of the run, where a default or a data set says something else by now."""
    taken = {}
    for flag in settings.values.keys() & recorded.keys():
        now, value = settings[flag], recorded[flag]
        if value is None and settings.declared[flag].option.default is not None:
            continue  # of the first versions, whose criteria kept their own defaults to themselves
        if json.loads(json.dumps(now, default=str)) != value:
            taken[flag] = Path(value) if isinstance(now, Path) else value
    return taken
