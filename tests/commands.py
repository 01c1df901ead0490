"""What calls of main.py come to, for the tests that make them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
#: Switches off the pictures, for runs of which none is looked at.
QUICK = "--disable_curves --disable_histograms --disable_saliency --disable_confusion --disable_weightplot "
QUICK += "--disable_netplot"
#: Three batches an epoch, with masks from the start.
PRUNED = "--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --outer_layer_pruning --N 96 --batch_size 32"


def call(command: str, folder: Path = ROOT, **options: Any) -> subprocess.CompletedProcess:
    """Run main.py in a process of its own."""
    return subprocess.run(
        [sys.executable, "main.py", *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


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
