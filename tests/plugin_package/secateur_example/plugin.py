"""What this package gives Secateur: its components, an option of its own, and a diary of each run.

The entry point in pyproject.toml names this module, so it is imported at every start of Secateur, even by `--help`.
Import nothing slow here, least of all torch: components are named by strings, and types are only for the reader.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from secateur import Section, hookimpl, option

if TYPE_CHECKING:
    from secateur import PruningStep, Run


@hookimpl
def components() -> dict[str, dict[str, str]]:
    """Name the components; each is imported when a run asks for it."""
    return {
        "criterions": {"BalancedMagnitude": "secateur_example.balanced_magnitude:BalancedMagnitude"},
        "models": {"TinyMLP": "secateur_example.tiny_mlp:TinyMLP"},
    }


class DiaryOptions(Section):
    """What belongs to the package; what belongs to one component is declared in its class."""

    title = "options of secateur-example-plugin"

    diary: str | None = option(
        None, "keep a diary of the run in output/diary.jsonl, headed by TEXT", changes_numbers=False
    )


@hookimpl
def options() -> type[Section]:
    """Give the options, which every command knows."""
    return DiaryOptions


@hookimpl
def run_started(run: Run) -> None:
    """Head the diary."""
    _write(run, "started", text=run.settings["diary"], model=run.model_spec["model"])


@hookimpl
def pruned(run: Run, step: PruningStep) -> None:
    """Note how much a pruning step left."""
    _write(run, "pruned", epoch=step.epoch, kept=step.kept, candidates=step.candidates)


@hookimpl
def epoch_finished(run: Run, figures: dict[str, float]) -> None:
    """Note how an epoch went."""
    _write(run, "epoch finished", epoch=figures["epoch"], train_accuracy=figures["train_accuracy"])


@hookimpl
def run_finished(run: Run, results: dict[str, object]) -> None:
    """Close the diary."""
    _write(run, "finished", test_accuracy=results["test_accuracy"], weight_sparsity=results["weight_sparsity"])


def _write(run: Run, what: str, **facts: object) -> None:
    """Append a line at once, so that a run that crashes leaves what it had; without `--diary` write nothing."""
    if run.settings["diary"] is None:
        return
    with (run.folder.output / "diary.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": what, **facts}) + "\n")
