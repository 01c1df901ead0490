"""Runs of the laboratory, as by the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from secateur.api.checkpoints import load
from secateur.config.command_line import parse
from secateur.config.kinds import KINDS
from secateur.config.parser import options_of_readers
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.runs.execute import execute
from secateur.runs.files import read_checksummed
from secateur.runs.train_first import train_first
from secateur.utils.errors import UserError, nearest


@dataclass(frozen=True)
class RunResult:
    """What a run has left."""

    #: The run folder, with its code, command, logs, models and figures.
    folder: Path
    #: What stands in its results.json.
    results: dict[str, Any] = field(repr=False)

    @property
    def network(self) -> nn.Module:
        """The finished network, loaded from the folder."""
        return load(self.folder)


def run(**options: Any) -> RunResult:
    """Make a run, as `python3 main.py` does with the same flags.

        result = secateur.run(model="ResNet18", prune_criterion="SNIPit", epochs=2)

    A keyword is a flag: True is a switch, a list several words or values, None a flag that is left out. Raises
    `ValueError`, in one line, for what the command line refuses.
    """
    hooks, _ = plugin_manager(options.get("disable_plugin") or ())
    registry = Registry(hooks, Path(options.get("components") or Path.cwd()))
    of_words = {one.option.flag for one in options_of_readers(hooks) if one.option.words}
    argv = [word for flag, value in options.items() for word in _words(flag, value, apart=flag in of_words)]
    settings, origin = parse(argv, registry, hooks), None
    if settings["eval"] and not (settings.checkpoint or settings.external_weights):  # a tester that trains
        settings, argv, origin = train_first(settings, registry, hooks, argv)
    folder = execute(settings, registry, hooks, argv, origin)
    return RunResult(folder, read_checksummed(folder / "output" / "results.json"))


def report(folders: str | Path | Sequence[str | Path], results_dir: str | Path | None = None, name: str = "") -> Path:
    """Compare runs that are there: tables and figures over run folders, or folders of them, on one page.

    Returns the page, `<results_dir>/<date>_<time>_report[_<name>]/report.html`; `results_dir` is by default the folder
    of the first. Raises `ValueError` where there is no run.
    """
    from secateur.reports.write import write_report  # here, as it brings in SciPy and Matplotlib

    places = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    where = Path(results_dir) if results_dir else places[0]
    argv = ["--report", *map(str, places), "--results_dir", str(where)]
    *_, last = write_report(places, where.absolute(), name, argv)
    return Path(last.partition(": ")[2])


def names(kind: str) -> list[str]:
    """Return the names of the components of a kind, as `names("criterions")`: built-in, the current folder's, plugins'.

    Raises `ValueError` for a kind that is none.
    """
    if kind not in KINDS:
        raise UserError(f"there is no kind '{kind}'{nearest(kind, KINDS)}")
    hooks, _ = plugin_manager()
    return [component.name for component in Registry(hooks, Path.cwd()).components(kind)]


def _words(flag: str, value: Any, *, apart: bool) -> list[str]:
    """The words of a command line that give a flag its value; several values stand `apart` or between commas."""
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{flag}"]
    if isinstance(value, list | tuple):
        words = [str(one) for one in value]
        return [f"--{flag}", *words] if apart else [f"--{flag}={','.join(words)}"]
    return [f"--{flag}={value}"]
