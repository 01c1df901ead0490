"""The base of dynamic sparse training: as many weights all the time, but not the same."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from utils.errors import UserError
from utils.pruning.criterion import Criterion
from utils.pruning.moments import Plan, Timing
from utils.pruning.saliency import Batch
from utils.pruning.scores import random_scores
from utils.pruning.selection import keep_largest

#: The share of a layer's weights that one update exchanges, where `--pruning_rate` was not given.
DROP_RATE = 0.3
#: The share of training after which nothing is exchanged any more.
END = 0.75


class DynamicSparse(Criterion):
    """Starts with a random mask at the limit; each update drops a layer's smallest weights and grows others, from zero.

    A subclass says by `growth_scores` which ones, and by `interval` how often. A layer keeps its number of weights,
    unless `--growing_rate` grows another share than is dropped.
    """

    distribution = "erdos_renyi_kernel"
    revival = "zero"
    reads = ("pruning_rate", "growing_rate", "prune_delay", "prune_freq")
    remembers = ("updates",)
    #: Updates done, of those planned.
    updates = planned_updates = 0

    def check_axes(self) -> None:
        """Refuse what the updates would not keep to."""
        super().check_axes()
        flags, who = self.arguments, type(self).__name__
        if self.pattern:
            raise UserError(f"--pattern {flags.pattern} would not outlast the updates of {who}: leave it out")
        if flags.prune_schedule or flags.prune_moment or self.in_levels:
            raise UserError(
                f"{who} starts at the limit and stays there: leave out --prune_schedule, --prune_moment, "
                "--experiment multishot"
            )

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return for each weight, of those that are zero, how much it is wanted; each method says it in its own way."""
        raise NotImplementedError(f"{type(self).__name__} has no method growth_scores(batches)")

    def interval(self, timing: Timing) -> int:
        """Steps from one update to the next."""
        return timing.prune_freq * timing.batches

    @property
    def drop_rate(self) -> float:
        """The share of a layer's weights that this update drops."""
        return self.arguments.pruning_rate if "pruning_rate" in self.arguments.explicit else DROP_RATE

    def plan(self, timing: Timing) -> Plan:
        """The start before training, then an update each interval, up to three quarters of the epochs."""
        first = timing.pre_epochs * timing.batches
        start, stop = first + timing.prune_delay * timing.batches, first + int(END * timing.epochs * timing.batches)
        interval = self.interval(timing)
        updates = range(start + interval, stop + 1, interval)
        self.planned_updates = len(updates)
        super().plan(timing)  # which refuses what cannot be
        return Plan(timing.total, {first: [self.limit]} | {step: [self.limit] for step in updates})

    @property
    def started(self) -> bool:
        """Whether the first mask was drawn."""
        return self.weights.keys() <= self.masks.kept.keys()

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Random ones for the start, then those of growth."""
        return (
            self.growth_scores(batches) if self.started else random_scores(self.weights, self.arguments.seed, "start")
        )

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """Draw the first mask; afterwards exchange weights in each layer."""
        if not self.started:
            return super().select(scores, keep)
        self.updates += 1
        return {name: self._exchange(mask, self.weights[name], scores[name]) for name, mask in self.kept().items()}

    def _exchange(self, kept: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
        number = int(kept.sum())
        dropped = round(self.drop_rate * number)
        rate = self.arguments.growing_rate
        room = kept.numel() - number + dropped
        grown = min(dropped if rate is None else round(rate * number), room)
        sizes = weight.detach().abs().masked_fill(~kept, -torch.inf).flatten()
        stays = keep_largest(sizes, number - dropped)
        grows = keep_largest(wanted.flatten().masked_fill(stays, -torch.inf), grown)
        return (stays | grows).view_as(kept)
