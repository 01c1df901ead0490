"""When pruning happens: a plan says after how many epochs of training which sparsities are approached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from utils.errors import UserError

#: Epochs trained so far -> the sparsities to approach then, in this order.
Plan = dict[int, list[float]]


@dataclass(frozen=True)
class Timing:
    """The flags that place pruning in time, in epochs."""

    pre_epochs: int
    epochs: int
    prune_delay: int
    prune_freq: int


Moment = Callable[[list[float], Timing], Plan]


def before_training(sparsities: list[float], timing: Timing) -> Plan:
    """All events at once, before the first epoch (or after `--pre_epochs`)."""
    return {timing.pre_epochs: sparsities}


def during_training(sparsities: list[float], timing: Timing) -> Plan:
    """One event before each epoch `--prune_delay`, `--prune_delay` + `--prune_freq`, ...

    Raises `UserError` where the last event would come after the last epoch.
    """
    first = timing.pre_epochs + timing.prune_delay
    plan = {first + number * timing.prune_freq: [sparsity] for number, sparsity in enumerate(sparsities)}
    if max(plan) >= timing.pre_epochs + timing.epochs:
        raise UserError(
            f"{len(plan)} pruning events, from --prune_delay {timing.prune_delay} every {timing.prune_freq} epochs, "
            f"need at least --epochs {max(plan) - timing.pre_epochs + 1}; there are {timing.epochs}"
        )
    return plan


#: The flags that this moment alone looks at.
during_training.reads = ("prune_delay", "prune_freq")
