"""Reads the files of run folders, whatever they hold; what cannot be read becomes a line in a list of problems."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secateur.runs.files import LARGEST_TEXT, read_checksummed, read_text
from secateur.utils.errors import one_line
from secateur.utils.text import is_figure, is_number, printable

#: What a run writes as JSON is nested less.
DEEPEST = 20


class Reader:
    """Reads files of at most `largest` bytes and notes what is wrong with them.

    Text is returned as it can be shown, see `printable`.
    """

    def __init__(self, largest: int = LARGEST_TEXT) -> None:
        self.largest = largest
        #: A line for each file and folder that could not be read, its path first.
        self.problems: list[str] = []

    def note(self, path: Path | str, error: Exception) -> None:
        """Note why a file cannot be read."""
        self.problems.append(printable(f"{path}: {getattr(error, 'strerror', None) or one_line(error)}"))

    def names(self, folder: Path) -> list[str]:
        """The names of what lies in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            self.note(folder, error)
            return []

    def text(self, path: Path) -> str:
        """A file of text, line by line."""
        try:
            return "\n".join(map(printable, read_text(path, "replace", self.largest).splitlines()))
        except (OSError, ValueError) as error:
            self.note(path, error)
            return ""

    def json(self, path: Path, rules: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
        """A dictionary whose entries, where they are there and not null, are as the rules want them."""
        try:
            found = _plain(read_checksummed(path, self.largest))
            for name, is_right in rules.items():
                if found.get(name) is not None and not is_right(found[name]):
                    raise ValueError(f"its {name} is {found[name]!r}"[:80])
        except (OSError, ValueError) as error:
            self.note(path, error)
            return {}
        return found

    def csv(self, path: Path) -> list[dict[str, str]]:
        """The rows below the names of the columns."""
        try:
            rows = csv.DictReader(io.StringIO(read_text(path, largest=self.largest), newline=""))
            return [{printable(key): printable(value or "") for key, value in row.items() if key} for row in rows]
        except (OSError, ValueError, csv.Error) as error:
            self.note(path, error)
            return []


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {printable(key): _plain(item, depth + 1) for key, item in value.items()}
    return value


def numbers_in(rows: list[dict[str, str]]) -> list[dict[str, float]]:
    """The numbers of each row that has an epoch: a row that was being written when the run was killed is cut off."""
    read = [{name: float(text) for name, text in row.items() if is_number(text)} for row in rows]
    kept = [{name: value for name, value in row.items() if is_figure(value)} for row in read]
    return [row for row in kept if "epoch" in row]


def is_measured(value: Any) -> bool:
    """Whether this is a number, or what a network that diverged has for one."""
    return is_figure(value) or (isinstance(value, float) and not math.isfinite(value))


def is_text(value: Any) -> bool:
    """Whether this is text."""
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    """Whether this is a whole number, 1 or more."""
    return type(value) is int and value > 0


def are_sizes(value: Any) -> bool:
    """Whether these are whole numbers, as of a shape."""
    return isinstance(value, list) and all(type(size) is int for size in value)


def are_figures(value: Any) -> bool:
    """Whether these are numbers by name, as of layers."""
    return isinstance(value, dict) and all(map(is_figure, value.values()))
