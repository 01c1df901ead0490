"""What calls of main.py come to, for the tests that make them."""

import json
from pathlib import Path
from typing import NamedTuple

#: Switches off the pictures, for runs of which none is looked at.
QUICK = "--disable_histograms --disable_saliency --disable_confusion --disable_weightplot --disable_netplot"


def results(folder: Path) -> dict:
    """What stands in a run folder's results.json."""
    return json.loads((folder / "output" / "results.json").read_text())


class Outcome(NamedTuple):
    """What a call of main.py came to."""

    status: int
    out: str
    err: str
    #: The run folder that it made, if any.
    folder: Path | None

    @property
    def results(self) -> dict:
        """What stands in its results.json."""
        return results(self.folder)
