"""The file of a grid, as `--grid FILE.toml` names it: flags, sections of runs, exclusions. Free of torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.runs.files import check_is_file
from secateur.utils.errors import UserError, nearest, one_line

#: Bytes of a file, and dots of a line: of a name that has many, reading takes a time that grows with their square.
LARGEST, MOST_DOTS = 1_000_000, 200
#: What a file holds at its top.
PARTS = ("common", "section", "exclude", "for")


@dataclass(frozen=True)
class Rule:
    """What runs of one value of a flag get beside the rest: `[for.prune_criterion.mag]`."""

    flag: str
    value: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class GridFile:
    """Flags by name without dashes, their values as TOML has them: text, numbers, true or false, or lists of these."""

    path: Path | None = None
    #: Flags of every run, `[common]`.
    common: dict[str, Any] = field(default_factory=dict)
    #: Flags of the runs of each `[[section]]`; without one there is one that adds nothing.
    sections: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    #: Combinations that are left out, each an `[[exclude]]`.
    exclusions: list[dict[str, Any]] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)


def read_grid_file(path: Path) -> GridFile:
    """Read the file of a grid.

    Raises `UserError` naming the file and the key where it is not there, no TOML, or holds what is no flag's value.
    """
    try:
        content = tomllib.loads(_text(path))
    except OSError as error:
        raise UserError(f"--grid {path}: {error.strerror}") from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # also of a number of more digits than Python reads
        raise UserError(f"--grid {path} is not TOML: {one_line(error)}") from error
    for part in content:
        if part not in PARTS:
            raise UserError(f"--grid {path}: a grid has no '{part}'{nearest(part, PARTS)}; flags go below [common]")
    sections = _tables(content.get("section", []), "section", path) or [{}]
    exclusions = _tables(content.get("exclude", []), "exclude", path)
    common = _flags(content.get("common", {}), "common", path)
    rules = []
    for flag, values in _table(content.get("for", {}), "for", path).items():
        for value, settings in _table(values, f"for.{flag}", path).items():
            place = f"for.{flag}.{value}"
            rules.append(Rule(underscored(flag), value, _flags(_table(settings, place, path), place, path)))
    return GridFile(path, common, sections, exclusions, rules)


def _text(path: Path) -> str:
    """What is in the file, unless it is one that would be read for hours."""
    check_is_file(path)
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(f"--grid {path} has {size:,} bytes, and the file of a grid {LARGEST:,} at most")
    text = path.read_bytes().decode()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MOST_DOTS:
            raise UserError(f"--grid {path}: line {number} has more than {MOST_DOTS} dots: break it up")
    return text


def underscored(flag: str) -> str:
    """A flag's name without leading dashes, those within turned into underscores."""
    return flag.lstrip("-").replace("-", "_")


def _tables(value: Any, place: str, path: Path) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise UserError(f"--grid {path}: {place} is written [[{place}]], with two brackets: there can be several")
    return [_flags(table, f"{place} {number}", path) for number, table in enumerate(value, start=1)]


def _table(value: Any, place: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"--grid {path}: {place} must hold flags, as in [for.prune_criterion.mag]")
    return value


def _flags(table: Any, place: str, path: Path) -> dict[str, Any]:
    for flag, value in _table(table, place, path).items():
        if not _is_value(value):
            raise UserError(f"--grid {path}: {place}: {flag} must be text, numbers, true or false, or a list of these")
    return {underscored(flag): value for flag, value in table.items()}


def _is_value(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 2 and bool(value) and all(_is_value(item, depth + 1) for item in value)
    return isinstance(value, str | int | float | bool)
