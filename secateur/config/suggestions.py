"""What an unknown name of an option may have meant: by its meaning in other programs, else by its spelling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from secateur.utils.errors import nearest_of

if TYPE_CHECKING:
    from secateur.config.option import Option


def meant_by(word: str, options: Iterable[Option]) -> list[str]:
    """Return the names, three at most and without dashes, of the options that `word` may mean.

    Those that other programs call so (`Option.suggested_for`); else those that are spelled like it.
    """
    spelled: dict[str, list[tuple[str, str]]] = {}
    meant: dict[str, list[tuple[str, str]]] = {}
    for option in options:
        for name in (option.flag, *option.also):
            spelled.setdefault(name.lower(), []).append((option.flag, name))
        for name in option.suggested_for.split():
            meant.setdefault(name, []).append((option.flag, option.flag))
    word = word.lstrip("-").replace("-", "_").lower()
    found = meant.get(word)
    if found is None:
        near = nearest_of(word, [*spelled, *meant], similarity=0.8) or nearest_of(word, spelled)
        found = [names for one in near for names in (*spelled.get(one, ()), *meant.get(one, ()))]
    by_flag = dict(reversed(found))  # of an option with two such names the nearest
    return list(dict.fromkeys(by_flag[flag] for flag, _ in found))[:3]


def did_you_mean(word: str, options: Iterable[Option]) -> str:
    """Return `": did you mean --A, --B?"`, or "" where no flag is near."""
    names = [f"--{name}" for name in meant_by(word, options) if name != "h"]
    return f": did you mean {', '.join(names)}?" if names else ""
