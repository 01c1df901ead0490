"""Tables of figures, for a person to read and for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of figures: shown at the end of the run, and written to `<name>.csv`."""

    #: The file's name without its ending.
    name: str
    title: str
    #: By column: what is in each row, text, a number, or None for what was not measured.
    rows: Sequence[dict[str, Any]]
    #: How the numbers of a column are shown, as {"accuracy": "{:.2%}"}; the file has them in full.
    forms: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns, in the order in which the rows name them."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def shown(self, row: dict[str, Any]) -> list[str]:
        """One row as a person reads it."""
        return [_shown(row.get(column), self.forms.get(column)) for column in self.columns]


def _shown(value: object, form: str | None) -> str:
    if value is None:
        return ""
    if form and not isinstance(value, str):
        return form.format(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
