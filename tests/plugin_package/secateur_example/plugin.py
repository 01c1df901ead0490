"""What this package gives Secateur: its components, an option of its own, and a diary of each run.

The entry point in pyproject.toml names this module, so it is imported at every start of Secateur, even by `--help`.
Import nothing slow here, least of all torch: components are named by strings, and types are only for the reader.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from secateur import hookimpl

if TYPE_CHECKING:
    from secateur import PruningEvent, Run


@hookimpl
def components() -> dict[str, dict[str, str]]:
    """Name the components; each is imported when a run asks for it."""
    return {
        "criterions": {"BalancedMagnitude": "secateur_example.balanced_magnitude:BalancedMagnitude"},
        "models": {"TinyMLP": "secateur_example.tiny_mlp:TinyMLP"},
    }


@hookimpl
def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to the package; what belongs to one component is declared in its class."""
    group = parser.add_argument_group("options of secateur-example-plugin")
    group.add_argument("--diary", metavar="TEXT", help="keep a diary of the run in output/diary.jsonl, headed by TEXT")


@hookimpl
def run_started(run: Run) -> None:
    """Head the diary."""
    _write(run, "started", text=run.arguments.diary, model=run.identity["model"])


@hookimpl
def pruned(run: Run, event: PruningEvent) -> None:
    """Note how much a pruning event left."""
    _write(run, "pruned", epoch=event.epoch, kept=event.kept, competing=event.competing)


@hookimpl
def epoch_finished(run: Run, figures: dict[str, float]) -> None:
    """Note how an epoch went."""
    _write(run, "epoch finished", epoch=figures["epoch"], train_accuracy=figures["train_accuracy"])


@hookimpl
def run_finished(run: Run, results: dict[str, object]) -> None:
    """Close the diary."""
    _write(run, "finished", test_accuracy=results["test_accuracy"], weight_sparsity=results["weight_sparsity"])


def _write(run: Run, event: str, **facts: object) -> None:
    """Append a line at once, so that a run that crashes leaves what it had; without `--diary` write nothing."""
    if run.arguments.diary is None:
        return
    with (run.folder.output / "diary.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, **facts}) + "\n")
