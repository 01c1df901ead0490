"""What became of a run in a process of its own."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

#: So many of the last lines that a failed run said are kept.
KEPT_LINES = 40


@dataclass(frozen=True)
class Outcome:
    """How a run's process ended: its exit status, minus the number of a signal that killed it, and what it said."""

    status: int
    output: str

    @property
    def last_lines(self) -> str:
        """The end of what it said."""
        return "\n".join(self.output.splitlines()[-KEPT_LINES:]) + "\n"

    @property
    def error(self) -> str:
        """What went wrong, in one line."""
        if self.status < 0:
            return f"killed by {signal.Signals(-self.status).name}"
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("error: ")]
        reason = told[-1].removeprefix("error: ") if told else lines[-1] if lines else "it said nothing"
        return reason if told else f"ended with status {self.status}: {reason}"


#: A run in progress, as its engine knows it.
Handle = Any
