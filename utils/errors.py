"""Errors a user can put right, and the suggestions they carry."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input, in one line: what, where and what to do instead. `main.py` prints it and exits with status 2."""


def one_line(error: BaseException) -> str:
    """An error's message, with its line breaks and indentation folded into single spaces."""
    return " ".join(str(error).split())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `": did you mean A, B?"` for the known names nearest to `name`, or what there is when none is near."""
    names = list(dict.fromkeys(known))
    by_folded = {known_name.lower(): known_name for known_name in names}
    near = [by_folded[match] for match in difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.5)]
    if near:
        return f": did you mean {', '.join(near)}?"
    return f": there is {', '.join(sorted(names)[:20])}" if names else ""
