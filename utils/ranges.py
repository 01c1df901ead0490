"""Types for command-line options: numbers within a range, names of a list. Free of torch: `--help` stays instant.

A comma in a flag's value stands between several values, each of which is a run of its own, unless the type says that a
single value holds commas: `numbers`, `several_of`, `names`, `text`, and any reader of which `commas_within` says so.
"""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Reader = Callable[[str], Any]


def commas_within(kind: type, read: Reader) -> Reader:
    """Mark a type for options: a single value of it holds commas, being a `list` of things, or a text (`str`)."""
    read.holds = kind
    return read


def commas_of(read: Reader | None) -> type | None:
    """Whether a single value of this type holds commas: `list` or `str` as `commas_within` has marked it, else None.

    That of a path may.
    """
    return str if read is Path else getattr(read, "holds", None)


def number(
    kind: type = float, low: float = -math.inf, high: float = math.inf, *, above: bool = False, below: bool = False
) -> Callable[[str], float]:
    """Return an argparse type that reads an int or a float within [low, high].

    `above` leaves out `low` itself, `below` leaves out `high`. NaN and infinities are refused.
    """

    def read(text: str) -> float:
        try:
            value = kind(text)
        except (ValueError, OverflowError):
            raise ArgumentTypeError(f"'{text}' is not {'a whole number' if kind is int else 'a number'}") from None
        if kind is int and abs(value) >= 2**63:
            raise ArgumentTypeError(f"{text[:20]}... has more digits than any setting needs")
        # Written so that NaN, which compares false with everything, is refused as well.
        if not (math.isfinite(value) and low <= value <= high) or (above and value == low) or (below and value == high):
            raise ArgumentTypeError(f"{text} is out of range: {_describe(low, high, above, below)}")
        return value

    return read


def numbers(kind: type = float, low: float = -math.inf, high: float = math.inf, **ends: bool) -> Callable[[str], list]:
    """Return an argparse type that reads numbers such as 1,8,64, each as `number` does; twice the same is once."""
    read = number(kind, low, high, **ends)
    return commas_within(list, lambda text: list(dict.fromkeys(map(read, text.split(",")))))


def one_of(*available: str) -> Callable[[str], str]:
    """Return an argparse type that reads one of these names."""

    def read(text: str) -> str:
        if text not in available:
            raise ArgumentTypeError(f"'{text}' is not one of {', '.join(available)}")
        return text

    return read


def several_of(*available: str) -> Callable[[str], list[str]]:
    """Return an argparse type that reads some of these names, separated by commas."""
    read = one_of(*available)
    return commas_within(list, lambda text: list(dict.fromkeys(map(read, text.split(",")))))


@partial(commas_within, list)
def names(text: str) -> list[str]:
    """Read names, separated by commas."""
    found = text.split(",")
    if not all(found):
        raise ArgumentTypeError(f"'{text}' lacks a name" if text else "it is empty")
    return found


@partial(commas_within, str)
def text(value: str) -> str:
    """Read a text that may hold commas, as a name that is the user's own."""
    return value


def _describe(low: float, high: float, above: bool, below: bool) -> str:
    parts = []
    if low > -math.inf:
        parts.append(f"{'above' if above else 'at least'} {low:g}")
    if high < math.inf:
        parts.append(f"{'below' if below else 'at most'} {high:g}")
    return " and ".join(parts) or "a finite number is needed"
