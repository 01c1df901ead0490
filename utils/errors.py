"""Errors a user can put right, and the suggestions they carry."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

from secateur.utils.text import printable

#: Longer lines lose their middle.
LONGEST = 2000


class UserError(ValueError):
    """Wrong input, in one line: what, where and what to do instead. `main.py` prints it and exits with status 2.

    What a terminal would obey or cannot show, as in names that come from a file, is written as Python escapes it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(message), LONGEST))


def shortened(text: str, longest: int) -> str:
    """Leave the middle out of a text that is longer, and say so by dots."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def one_line(error: BaseException, longest: int = LONGEST) -> str:
    """An error's message, with its line breaks and indentation folded into single spaces; a long one `shortened`."""
    return shortened(" ".join(str(error).split()), longest)


def raised_at(error: BaseException, path: Path | str | None = None) -> str:
    """Return `" (file:line)"`, where an error was raised: in the file `path`, or the innermost; "" where it was not."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if path is None or Path(frame.filename) == Path(path)]
    return f" ({inside[-1].filename}:{inside[-1].lineno})" if inside else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `": did you mean A, B?"` for the known names nearest to `name`, or what there is when none is near."""
    names = list(dict.fromkeys(known))
    if near := nearest_of(name, names):
        return f": did you mean {', '.join(near)}?"
    return f": there is {', '.join(sorted(names)[:20])}" if names else ""


def nearest_of(name: str, known: Iterable[str], similarity: float = 0.5) -> list[str]:
    """Return the known names, three at most, that are spelled like `name`, upper or lower case; the nearest first.

    `similarity` is the least that counts, from 0 to 1, as `difflib` measures it.
    """
    by_folded = {known_name.lower(): known_name for known_name in known}
    return [by_folded[match] for match in difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=similarity)]
