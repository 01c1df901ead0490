"""The base of dynamic sparse training: as many weights all the time, but not the same."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.pruning.criterion import Criterion
from secateur.pruning.plan import Plan, Timeline
from secateur.pruning.saliency import Batch
from secateur.pruning.scores import random_scores
from secateur.pruning.selection import count_true, keep_largest
from secateur.utils.errors import UserError

#: The fraction of training from which on nothing is exchanged any more.
END = 0.75


class DynamicSparse(Criterion):
    """Starts with a random mask at the limit; each update drops a layer's smallest weights and grows others, from zero.

    A subclass says by `growth_scores` which ones, and by `interval` how often. A layer keeps its number of weights,
    unless `--growing_rate` grows another share than is dropped.
    """

    pruning_rate: float = option(
        0.3,
        "fraction of a layer's weights that SET and RigL exchange in a step; final sparsity of UnstructuredRandom",
        low=0,
        high=1,
        below=True,
        metavar="FRACTION",
        general=True,
    )
    growing_rate: float | None = option(
        None,
        "fraction of the kept weights that SET and RigL regrow in a step (default: as many as they prune)",
        low=0,
        high=1,
        metavar="FRACTION",
        general=True,
    )

    distribution = "erdos_renyi_kernel"
    regrowth = "zero"
    state_attrs = ("updates",)
    #: Updates done.
    updates = 0

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect: updates come at intervals of their own."""
        idle = super().idle_options()
        return {flag: why for flag, why in idle.items() if flag not in ("prune_delay", "prune_freq")}

    def check_axes(self) -> None:
        """Refuse what the updates would not keep to."""
        super().check_axes()
        who = type(self).__name__
        if self.group_pattern:
            raise UserError(f"--pattern {self.pattern} would not outlast the updates of {who}: leave it out")
        if {"schedule", "timing"} & self.given or self.in_levels:
            raise UserError(
                f"{who} starts at the limit and stays there: leave out --prune_schedule, --prune_moment, "
                "--experiment multishot"
            )

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return for each weight, of those that are zero, how much it is wanted; each method says it in its own way."""
        raise NotImplementedError(f"{type(self).__name__} has no method growth_scores(batches)")

    def interval(self, timeline: Timeline) -> int:
        """Steps from one update to the next."""
        return timeline.prune_freq * timeline.batches

    def dropped(self, number: int) -> int:
        """How many of a layer's `number` kept weights this update drops."""
        return round(self.pruning_rate * number)

    def end(self, timeline: Timeline) -> int:
        """The first step, counted from that of the first mask, at which nothing is exchanged any more."""
        return int(END * timeline.epochs * timeline.batches) + 1

    def plan(self, timeline: Timeline) -> Plan:
        """The start before training, then an update each interval, up to three quarters of the epochs."""
        first = timeline.pre_epochs * timeline.batches
        start, interval = first + timeline.prune_delay * timeline.batches, self.interval(timeline)
        updates = range(start + interval, first + self.end(timeline), interval)
        super().plan(timeline)  # which refuses what cannot be
        return Plan(timeline.total, {first: [self.limit]} | {step: [self.limit] for step in updates})

    @property
    def started(self) -> bool:
        """Whether the first mask was drawn."""
        return self.weights.keys() <= self.masks.kept.keys()

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Random ones for the start, then those of growth."""
        return self.growth_scores(batches) if self.started else random_scores(self.weights, self.seed, "start")

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """Draw the first mask; afterwards exchange weights in each layer."""
        if not self.started:
            return super().select(scores, keep)
        self.updates += 1
        return {name: self._exchange(mask, self.weights[name], scores[name]) for name, mask in self.kept().items()}

    def staying(self, kept: Tensor, weight: Tensor) -> Tensor:
        """Which of the `kept` weights, a boolean tensor of the weight's shape, this update does not drop: the largest.

        Returns a boolean tensor of that shape.
        """
        number = count_true(kept)
        return keep_largest(weight.abs().masked_fill(~kept, -torch.inf), number - self.dropped(number))

    def _exchange(self, kept: Tensor, weight: Tensor, wanted: Tensor) -> Tensor:
        number = count_true(kept)
        stays = self.staying(kept, weight.detach())
        dropped = number - count_true(stays)
        rate = self.growing_rate
        regrown = dropped if rate is None else round(rate * number)
        return stays | keep_largest(wanted.masked_fill(stays, -torch.inf), regrown)
