"""Options: one record says everything about a setting. Free of torch, so that `--help` stays instant.

    class Guarded(secateur.Criterion):
        guard: float = option(0.5, "the power p of the layer's size", low=0, high=1)

The class reads it as `self.guard`. The command line (`--guard 0.3`), the keys of grid files, the keywords of the API,
arguments.json and `--help` all come from this record. A subclass changes the default by plain assignment, `guard = 1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

from secateur.config.suggestions import meant_by
from secateur.utils.errors import UserError, nearest

#: What an annotation can say a value is.
KINDS = {"int": int, "float": float, "str": str, "bool": bool, "Path": Path}
#: Whole numbers have no more digits than this.
LARGEST = 2**63


@dataclass(frozen=True, eq=False)
class Option:
    """The record of one setting; see `option` for what its fields mean."""

    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    choices: tuple[str, ...] = ()
    pattern: tuple[str, str] | None = None
    flag: str = ""
    also: tuple[str, ...] = ()
    suggested_for: str = ""
    common: str = ""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    metavar: str = ""
    words: str = ""
    alone: Any = None
    changes_numbers: bool = True
    is_path: bool = False
    is_run: bool = False
    on_resume: bool = False
    only_training: bool = False
    smoke: Any = None
    general: bool = False
    stands_for: tuple[str, str] | None = None
    names: str = ""
    check: str = ""
    #: What one value is: int, float, str, bool or Path; and whether the setting is a list of such.
    kind: type = str
    many: bool = False
    name: str = ""  #: The attribute's name.

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the attribute's name, and what it is from its annotation."""
        annotation = vars(owner).get("__annotations__", {}).get(name, "")
        self._named(name, annotation.__name__ if isinstance(annotation, type) else str(annotation))

    def _named(self, name: str, annotation: str) -> None:
        kind, many = kind_of(annotation, self.default)
        is_path = self.is_path or kind is Path
        found = {"name": name, "flag": self.flag or name, "kind": kind, "many": many, "is_path": is_path}
        for attribute, value in found.items():
            object.__setattr__(self, attribute, value)

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """The default, on an object that was given no other value; on the class the record itself."""
        return self if instance is None else self.default

    @property
    def is_switch(self) -> bool:
        """Whether the flag stands alone on the command line."""
        return self.kind is bool

    @property
    def holds_commas(self) -> bool:
        """Whether a comma in a value is part of it, and does not stand between the values of a grid."""
        return self.many or self.kind is Path or self.pattern == FREE_TEXT

    @property
    def shown(self) -> str:
        """What stands for the value in `--help`."""
        if self.metavar:
            return self.metavar
        one = {int: "N", float: "X", Path: "PATH"}.get(self.kind, "NAME" if self.choices else "TEXT")
        return f"{one},{one},..." if self.many and self.words != "+" else one

    def read(self, text: str) -> Any:
        """Turn the text of a command line into the value. Raises `ValueError` saying why it cannot be."""
        if self.many and self.words != "+":
            return list(dict.fromkeys(self._read_one(part) for part in text.split(",")))
        return self._read_one(text)

    def _read_one(self, text: str) -> Any:
        text = self.synonyms.get(text, text)
        if self.kind in (int, float):
            return self._within(_number(self.kind, text), text)
        if self.choices and text not in self.choices:
            raise ValueError(f"'{text}' is not one of {', '.join(self.choices)}")
        if self.pattern and not re.fullmatch(self.pattern[0], text, re.DOTALL):
            raise ValueError(f"'{text}' is not {self.pattern[1]}")
        if not text and (self.many or self.kind is Path or not self.pattern):
            raise ValueError(f"it is empty{', or lacks a name beside a comma' if self.many else ''}")
        return self.kind(text)

    def _within(self, value: float, text: object) -> float:
        if self.kind is int and abs(value) >= LARGEST:
            raise ValueError(f"{str(text)[:20]}... has more digits than any setting needs")
        # Written so that NaN, which compares false with everything, is refused as well.
        fits = math.isfinite(value) and self.low <= value <= self.high
        if not fits or (self.above and value == self.low) or (self.below and value == self.high):
            meant = f" ({value:g} % is {value / 100:g})" if 0 <= self.low < self.high == 1 < 10 <= value <= 100 else ""
            raise ValueError(f"{text} is out of range: {self._range()}{meant}")
        return value

    def _range(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return " and ".join(parts) or "a finite number is needed"

    def checked(self, value: Any) -> Any:
        """Return a value that a Python caller gave. Raises `UserError`, a `ValueError`, where it cannot be."""
        if value is None and self.default is None:
            return None
        try:
            if not self.many:
                return self._checked_one(value)
            if isinstance(value, str) or not isinstance(value, Collection):
                value = [value]
            found = [self._checked_one(one) for one in value]
            if not found:
                raise ValueError("it is empty")
            return found if self.words else list(dict.fromkeys(found))
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{self.flag}: {error}") from error

    def _checked_one(self, value: Any) -> Any:
        if isinstance(value, str) and value in self.synonyms:
            return self._read_one(value)
        if self.kind is bool or isinstance(value, bool):
            if not (self.kind is bool and isinstance(value, bool)):
                raise ValueError(f"{value!r} is not {'True or False' if self.kind is bool else 'what it takes'}")
            return value
        if self.kind in (int, float):
            if not isinstance(value, Real) or (self.kind is int and value != int(value)):
                raise ValueError(f"{value!r} is not {'a whole number' if self.kind is int else 'a number'}")
            return self._within(self.kind(value), value)
        if not isinstance(value, str | Path):
            raise ValueError(f"{value!r} is not a text")
        return self._read_one(str(value))

    def reduced(self, value: Any) -> Any:
        """Return the value that a smoke run takes in place of `value`."""
        if isinstance(value, list) and self.smoke is None and not self.words:
            return value[-1:]
        if self.smoke is None or self.smoke == KEEP or value is None:
            return value
        return self.smoke if self.is_switch else min(value, self.smoke)


#: `pattern` of a text that is the user's own and may hold anything, commas too.
FREE_TEXT = (".*", "a text")
#: `smoke` of a list that stays whole.
KEEP = "keep"


def option(default: Any, help: str, **fields: Any) -> Any:
    """Declare a setting in the class that reads it: an annotated attribute, `name: kind = option(default, help)`.

    The annotation says what it is: int, float, str, bool or Path, a `list[...]` of one of these (written A,B,C on the
    command line), each with `| None` where the default is None. A bool is a switch that is off by default.

    Parameters
    ----------
    default: the value where none is given.
    help: a line for `--help`, without the default.
    low, high: the range of a number, ends included; `above=True` leaves out `low`, `below=True` leaves out `high`.
    choices: the texts that it can be.
    pattern: (regular expression, what it is called) that a text must match; `FREE_TEXT` for any, commas included.
    flag, also: its name on the command line, where that is not the attribute's, and other names.
    suggested_for: what other programs call it, in words: an unknown flag of such a name is answered with this one.
    common: the task below which the short `--help` shows it, without what `help` says after a semicolon.
    synonyms: other texts for the same value, as {"lottery": "cifar"}.
    metavar: what stands for the value in `--help`.
    words: "+" where the values are words of their own, as in `--input_dim 3 32 32`; "?" where it may be left out, which
        then means `alone`.
    changes_numbers: whether a result can depend on it.
    is_path: whether it names a place, which a run that goes on elsewhere must still find; every Path does.
    is_run: whether it names a finished run: a folder in `--results_dir`, a path, or `latest`; it becomes the path.
    on_resume: whether it may stand beside `--resume`.
    only_training: whether it has no say in how a finished network is tested.
    smoke: in a smoke run the largest number, or the value of a switch; a list keeps its last value, or `KEEP`s all.
    general: whether every command knows the flag, also where the component that reads it is not named.
    names: the kind of component that the value names, as "NAME" or "NAME:PARAMETERS".
    check: "module:function" that is called with a value that was typed, before anything of a run is built, and raises
        `UserError` where it cannot be; for names that only another package knows.
    stands_for: (flag, value) of the component that is named where this flag is given.

    In a class of a component these must be literals: options are read from the source, without importing it.
    """
    return Option(default, help, **fields)


def kind_of(annotation: str, default: Any) -> tuple[type, bool]:
    """Return what one value is, and whether there are several, by an annotation such as `list[int] | None`.

    Where that says none of `KINDS`, the default tells. Raises `TypeError` where neither does.
    """
    text = annotation.replace(" ", "").removesuffix("|None")
    many = text.startswith("list[") or isinstance(default, list)
    inner = text.removeprefix("list[").removesuffix("]").rpartition(".")[2]  # of pathlib.Path the last
    one = default[0] if many and default else default
    kind = KINDS.get(inner) or next((kind for kind in KINDS.values() if type(one) is kind), None)
    if kind is None:
        raise TypeError(f"an option is {', '.join(KINDS)}, a list[...] of these or None, and '{annotation}' is not")
    return kind, many


def options_of(kind: type) -> dict[str, Option]:
    """Return the options of a class and of its bases, by attribute; plain attributes of subclasses are new defaults."""
    found: dict[str, Option] = {}
    for owner in reversed(kind.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, Option):
                found[name] = value
            elif name in found and is_default(value):
                found[name] = replace(found[name], default=value)
    return found


def is_default(value: Any) -> bool:
    """Whether a class attribute of an option's name is another default for it, and not a method or property."""
    return value is None or isinstance(value, str | int | float | bool | list | tuple | Path)


class Configurable:
    """Something with options, which are its attributes.

    Parameters: values by the options' names, or by their flags'. Raises `UserError`, a `ValueError`, for names that
    are none, and for values that cannot be.
    """

    #: The options that were given a value, rather than left at their default.
    given: frozenset[str] = frozenset()

    def __init__(self, **values: Any) -> None:
        options = options_of(type(self))
        by_flag = {option.flag: name for name, option in options.items()}
        found = {}
        for name, value in values.items():
            attribute = by_flag.get(name, name)
            if attribute not in options:
                near = meant_by(name, options.values())
                hint = f": did you mean {', '.join(near)}?" if near else nearest(name, by_flag)
                raise UserError(f"{type(self).__name__} has no option '{name}'{hint}")
            found[attribute] = options[attribute].checked(value)
        self.configure(found, found)

    def configure(self, values: Mapping[str, Any], given: Collection[str]) -> None:
        """Take values, known to be right, by attribute; `given` are those that the user gave."""
        vars(self).update(values)
        vars(self)["given"] = frozenset(given)

    def idle_options(self) -> dict[str, str]:
        """Return the flags that have no effect as this is configured, each with the reason: "without --lp_reg".

        An empty reason means that no part of the run reads the flag.
        """
        return {}


class Section(Configurable):
    """Settings that belong together and to no component; frozen once they are made."""

    #: The heading in `--help`.
    title: str = ""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")


def _number(kind: type, text: str) -> float:
    try:
        return int(text) if kind is int else float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"'{text}' is not {'a whole number' if kind is int else 'a number'}") from None
