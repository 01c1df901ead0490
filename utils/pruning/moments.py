"""When pruning happens: a plan says after how many steps of training which sparsities are approached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from utils.errors import UserError


@dataclass(frozen=True)
class Timing:
    """The flags that place pruning in time, in epochs, and how many batches (steps of the optimizer) an epoch has."""

    pre_epochs: int
    epochs: int
    prune_delay: int
    prune_freq: int
    batches: int

    @property
    def total(self) -> int:
        """Epochs of the whole run."""
        return self.pre_epochs + self.epochs

    def events_within(self, share: float) -> int:
        """How many events of `during_training` fit into this share of `epochs`; at least one."""
        last = int(share * self.epochs)
        return max((last - self.prune_delay) // self.prune_freq + 1, 1)


@dataclass
class Plan:
    """What a run does when."""

    #: Epochs of the whole run.
    epochs: int
    #: Steps trained so far -> the sparsities to approach then, in this order.
    events: dict[int, list[float]] = field(default_factory=dict)


def before_training(sparsities: list[float], timing: Timing) -> Plan:
    """All events at once, before the first epoch (or after `--pre_epochs`)."""
    return Plan(timing.total, {timing.pre_epochs * timing.batches: sparsities})


def during_training(sparsities: list[float], timing: Timing) -> Plan:
    """One event before each epoch `--prune_delay`, `--prune_delay` + `--prune_freq`, ... after `--pre_epochs`.

    Raises `UserError` where the last event would come after the last epoch.
    """
    return _every(timing.prune_freq, timing.prune_delay, sparsities, timing)


def in_rounds(sparsities: list[float], timing: Timing) -> Plan:
    """Like `during_training`, but each event comes after its round of `--prune_freq` epochs.

    Raises `UserError` where the last event would come after the last epoch.
    """
    return _every(timing.prune_freq, timing.prune_delay + timing.prune_freq, sparsities, timing)


def late_in_training(sparsities: list[float], timing: Timing) -> Plan:
    """All events at once, after seven eighths of `--epochs`; or at `--prune_delay` where that was typed."""
    epoch = timing.pre_epochs + timing.epochs * 7 // 8
    return Plan(timing.total, {epoch * timing.batches: sparsities})


def after_training(sparsities: list[float], timing: Timing) -> Plan:
    """All events at once, after the last epoch: nothing is fine-tuned."""
    return Plan(timing.total, {timing.total * timing.batches: sparsities})


def multishot(sparsities: list[float], timing: Timing) -> Plan:
    """Each event after `--pre_epochs` of its own; `--epochs` follow the last one.

    Raises `UserError` without `--pre_epochs`.
    """
    if not timing.pre_epochs:
        raise UserError("--experiment multishot trains before each pruning event: say how long by --pre_epochs")
    events = {
        number * timing.pre_epochs * timing.batches: [sparsity] for number, sparsity in enumerate(sparsities, start=1)
    }
    return Plan(len(sparsities) * timing.pre_epochs + timing.epochs, events)


def _every(interval: int, first: int, sparsities: list[float], timing: Timing) -> Plan:
    epochs = [timing.pre_epochs + first + number * interval for number in range(len(sparsities))]
    if epochs[-1] >= timing.total:
        needed = epochs[-1] - timing.pre_epochs + 1
        raise UserError(
            f"{len(epochs)} pruning events, from --prune_delay {timing.prune_delay} every {timing.prune_freq} epochs, "
            f"need at least --epochs {needed}; there are {timing.epochs}"
        )
    return Plan(
        timing.total,
        {epoch * timing.batches: [sparsity] for epoch, sparsity in zip(epochs, sparsities, strict=True)},
    )


Moment = Callable[[list[float], Timing], Plan]

#: What `--prune_moment` and a criterion's `moment` can name.
MOMENTS: dict[str, Moment] = {
    "before": before_training,
    "during": during_training,
    "rounds": in_rounds,
    "late": late_in_training,
    "after": after_training,
    "multishot": multishot,
}
