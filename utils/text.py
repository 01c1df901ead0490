"""Text that others have written, as names, log lines and cells: it commands no terminal, page or spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@")
#: Figures are smaller.
LARGEST = 1e100


def printable(text: str) -> str:
    """The text, with what a terminal would obey or cannot show written as Python escapes it.

    That is every line break, escape code and override of the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines, whose line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def first_few(names: Sequence[str], most: int) -> str:
    """The first of some names, and how many more there are: as "a, b, c and 2 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def is_number(text: str) -> bool:
    """Whether a text is a number, as `-0.5`, `1e-3` or `nan`."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_figure(value: Any) -> bool:
    """Whether this is a number that can be shown and drawn; not one beyond all measure, infinite or none (NaN)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a CSV file has them. Text that a spreadsheet would take for a formula begins with a `'`.

    Numbers stay as they are, also negative ones that are text.
    """
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV file of these columns, a line for each row below their names."""
    return csv_text([columns, *([row.get(column) for column in columns] for row in rows)])


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not is_number(text) else text
