"""The runs of a grid, each with its flags, its name and what tells it from the others. Free of torch."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from secateur.config.names import NAMED_BY
from secateur.grid.options import GridOptions

#: The words that follow a flag on the command line, of a switch none; by the flag's name without dashes.
Settings = dict[str, tuple[str, ...]]
#: How a run folder's name ends: with the run's key, and a number where two began in one second.
KEY = re.compile(r"_([0-9a-f]{8})(_\d+)?$")


@dataclass(frozen=True)
class Trial:
    """One run of a grid."""

    settings: Settings
    #: The flags that vary within the grid and how this run has them: a number, a text, or None where it has not.
    varying: dict[str, Any]
    #: Whether it goes on although what it has begun with is not what it would go on with.
    resume_anyway: bool = False

    @cached_property
    def key(self) -> str:
        """Eight hexadecimal digits that tell runs of different settings apart, in any grid."""
        return digits(json.dumps(sorted(self.settings.items())))

    @cached_property
    def label(self) -> str:
        """The run's name: readable, and unique by its key, which is its end."""
        parts = [
            value if flag in NAMED_BY or value == flag else f"{flag}-{value}" for flag, value in self.shown().items()
        ]
        text = re.sub(r"[^\w.+-]+", "-", "_".join(parts), flags=re.ASCII)[:100].strip("-_.")
        return f"{text or 'run'}_{self.key}"

    def shown(self) -> dict[str, str]:
        """The flags that vary, as a person reads them: those that the run has, paths by their last part."""
        return {
            flag: flag if value is True else str(value).rpartition("/")[2] or str(value)
            for flag, value in self.varying.items()
            if value is not None
        }

    @property
    def argv(self) -> list[str]:
        """The command line of the run, without the places of its results."""
        return argv_of(self.settings)


@dataclass(frozen=True)
class Grid:
    """The runs, where their folders go, and what runs them."""

    trials: list[Trial]
    folder: Path
    #: The command line as it was typed.
    argv: list[str]
    #: How they are run, and where.
    options: GridOptions
    run_name: str
    #: Options that the components of some runs only know, and of how many.
    partial: dict[str, int] = field(default_factory=dict)
    #: Whether the command line asks for help instead: the grid then has its first run only.
    asked: bool = False
    #: Of how many runs these are the few that `--smoke` makes; None without it.
    smoke_of: int | None = None

    @property
    def varying(self) -> list[str]:
        """The flags that are not the same in every run."""
        return list(self.trials[0].varying)

    @property
    def common(self) -> Settings:
        """The flags that are."""
        return {flag: words for flag, words in self.trials[0].settings.items() if flag not in self.varying}

    @property
    def command(self) -> str:
        """The command, as it is typed."""
        return shlex.join(["python3", "main.py", *self.argv])


def trials_of(settings: list[Settings]) -> list[Trial]:
    """Return the runs of these settings, each with how it has the flags that vary among them."""
    flags = dict.fromkeys(flag for one in settings for flag in one)
    varying = [flag for flag in flags if len({one.get(flag) for one in settings}) > 1]
    return [Trial(one, {flag: _shown(one.get(flag)) for flag in varying}) for one in settings]


def _shown(words: tuple[str, ...] | None) -> Any:
    if words is None:
        return None
    return plain(" ".join(words)) if words else True


def plain(text: str) -> Any:
    """A number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def argv_of(settings: Settings) -> list[str]:
    """The words of a command line; a value that begins with a dash, as a negative number, stays with its flag."""
    argv: list[str] = []
    for flag, words in settings.items():
        argv += [f"--{flag}={words[0]}"] if len(words) == 1 and words[0].startswith("-") else [f"--{flag}", *words]
    return argv


def digits(*texts: str) -> str:
    """Eight hexadecimal digits that stand for texts."""
    return blake2b("\n".join(texts).encode(), digest_size=4).hexdigest()


def key_of(folder: Path) -> str | None:
    """The key of the run that a folder of a grid is of, which its name ends with; None of other folders."""
    match = KEY.search(folder.name)
    return match[1] if match else None
