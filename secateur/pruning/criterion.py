"""The base of every criterion: score x schedule x timing x distribution, each replaceable alone."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from secateur.config.smoke import LAST_STEPS
from secateur.pruning.class_balance import balanced_batches
from secateur.pruning.layers import like_layers
from secateur.pruning.masks import Masks
from secateur.pruning.options import CriterionOptions
from secateur.pruning.plan import SCHEDULES, TIMINGS, Plan, PruningStep, Timeline, check_amount, idle_repairs
from secateur.pruning.saliency import Batch, LossFunction
from secateur.pruning.selection import (
    DISTRIBUTIONS,
    checked_scores,
    count_true,
    own_counts,
    read_pattern,
    select,
    select_in_groups,
    shuffled,
)
from secateur.utils.errors import UserError, nearest
from secateur.utils.modes import evaluation_mode
from secateur.utils.stateful import Stateful

#: What a schedule is drawn up for where a `--target` will say how much is pruned.
NOMINAL = 0.9


class Criterion(CriterionOptions, Stateful):
    """Base of all criteria. Most define `scores` alone, and name another schedule or timing.

    Parameters: `network`; `masks` of its weights; `loss(logits, targets)`; the names of the layers that are
    `prunable`; and the values of options.
    """

    #: Other names on the command line, in lower case.
    aliases: tuple[str, ...] = ()
    #: What is pruned.
    unit: str = "weights"
    #: One image (1, C, H, W) on the network's device, for tracing; set before `plan` is called.
    example: Tensor
    #: Outputs of each layer before anything was removed; set before `plan` is called.
    dense_outputs: dict[str, int]
    #: What pruned weights have when they come back: "zero", or the "value" that they had; None: none comes back.
    regrowth: str | None = None
    #: Flags that this criterion sets where they were not typed, as {"loss": "HoyerSquareCrossEntropy"}.
    implies: dict[str, str] = {}
    #: Attributes that change from step to step, kept for `--resume`; a subclass names its own alone.
    state_attrs: tuple[str, ...] = ("_values", "repairs", "budgets", "estimate")
    #: Whether `--pruning_limit` says how much is pruned; where not, the criterion finds that out, as by a threshold.
    has_limit: bool = True
    #: Whether `after_backward` needs the gradients of pruned weights too.
    needs_dense_gradients: bool = False
    #: Layers that are not pruned, or not whole, each with the reason; set before `plan` is called, or by it.
    left_out: dict[str, str] = {}
    #: Those of them that `--ignore_layers` names.
    ignored: frozenset[str] = frozenset()
    #: The final sparsities of layers that have their own, and how many weights of them the step at hand keeps.
    own_sparsities: dict[str, float] = {}
    _fixed: dict[str, int] = {}
    #: What measures a network as `--target` asks, how it will be executed, and what it runs under where it is timed and
    #: where repairs train it; set before `prune_and_repair` is called.
    meter: Any = None
    execution: str = "dense"
    autocast: Callable[[], contextlib.AbstractContextManager] = staticmethod(contextlib.nullcontext)
    #: What random numbers depend on.
    seed: int = 333
    #: Whether training goes back to earlier weights after each pruning step.
    rewinds: bool = False
    #: Whether the run is made tiny: of a schedule the last steps stay.
    smoke: bool = False

    def __init__(
        self, network: nn.Module, masks: Masks, loss: LossFunction, prunable: Iterable[str], **options: Any
    ) -> None:
        super().__init__(**options)
        if self.compression is not None:
            self.pruning_limit = 1 - 1 / self.compression
        self.network = network
        self.masks = masks
        self.loss = loss
        #: The weights that can be pruned, by layer name.
        self.weights = {name: masks.weights[name] for name in prunable}
        self.group_pattern = read_pattern(self.pattern)
        if self.in_levels:
            self.schedule = self.schedule if "schedule" in self.given else "exponential"
        elif self.timing == "late" and "prune_delay" in self.given:
            self.timing = "during"
        self.check_axes()
        #: What pruned weights were before, where they may come back to it.
        self._values: dict[str, Tensor] = {}
        #: What repairs did so far, for results.json.
        self.repairs: list[dict[str, Any]] = []
        #: What the network was before repairs that are still to come; see `secateur.pruning.steps`.
        self.reference: Any = None
        #: How targets were approached, for results.json, and the sparsity that is thought to meet them.
        self.budgets: list[dict[str, Any]] = []
        self.estimate: float | None = None

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return the score of each weight in `self.weights`, a tensor of the weight's shape: the lowest are pruned.

        `batches` are some batches of training data, inputs (B, C, H, W) and targets (B,), on the network's device.
        """
        raise UserError(f"the criterion {type(self).__name__} has no method scores(batches)")

    def scoring_batches(self, source: Iterable[Batch]) -> Iterable[Batch]:
        """Take from training data the batches to score on: the first `--saliency_batches`, or class-balanced ones."""
        if self.samples_per_class is None:
            return itertools.islice(source, self.saliency_batches)
        with evaluation_mode(self.network), torch.no_grad():
            classes = self.network(self.example).shape[-1]
        return balanced_batches(source, self.saliency_batches, self.samples_per_class, classes, partial=self.smoke)

    def after_backward(self, gradients: dict[str, Tensor]) -> None:
        """Look at the gradients of a training step, by layer name; with `needs_dense_gradients` of pruned ones too."""

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """Return boolean masks of the scores' shapes that keep `keep` weights, or what the pattern keeps."""
        if self.group_pattern:
            return select_in_groups(scores, *self.pattern_at(keep / sum(score.numel() for score in scores.values())))
        alive = None if self.regrowth else {name: count_true(mask) for name, mask in self.kept().items()}
        alike = like_layers(self.network, scores) if self.distribution == "isomorphic" else ()
        return select(scores, keep, self.distribution, alive, alike, self._fixed, self.sensitivity)

    def pattern_at(self, density: float) -> tuple[int, int]:
        """The pattern (N, M) of a step of a schedule that keeps this fraction of the weights."""
        keep, group = self.group_pattern
        return max(keep, round(group * density)), group

    @property
    def in_levels(self) -> bool:
        """Whether the run trains, prunes and rewinds again and again, as `--experiment multishot` says."""
        return self.experiment == "multishot"

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect as this criterion is configured."""
        during = self.timing in ("during", "rounds")
        has_effect = {
            "snip_steps": self.schedule != "one_shot",
            "prune_delay": during or self.timing == "late",
            "prune_freq": during,
        } | dict.fromkeys(("pruning_limit", "compression"), self.has_limit)
        idle = {flag: "" for flag, read in has_effect.items() if not read}
        return idle | idle_repairs(self, at_once=not during and self.schedule != "one_shot")

    @property
    def limit(self) -> float:
        """The final sparsity; of a `--target` one that its schedule is drawn up for, and stretched later."""
        if self.target:
            return NOMINAL if self.estimate is None else self.estimate
        keep, group = self.group_pattern or (0, 0)
        return 1 - keep / group if group else self.pruning_limit

    def progress(self, sparsity: float) -> float:
        """How far a step is that goes to this sparsity, in [0, 1]: so far layers come to a sparsity of their own."""
        return min(1.0, sparsity / self.limit) if self.limit else 1.0

    def number_of_steps(self, timeline: Timeline) -> int:
        """Steps of the schedule."""
        return self.snip_steps

    def plan(self, timeline: Timeline) -> Plan:
        """Say after how many steps of training which sparsities are approached.

        Raises `UserError` where that cannot be: no weights are prunable, or the epochs are too few.
        """
        if not self.weights:
            raise UserError(
                "no weights can be pruned: the network has none between its first and its last layer; "
                "add --outer_layer_pruning to prune those two as well"
            )
        return self.plan_of_axes(timeline)

    def sparsities(self, timeline: Timeline) -> list[float]:
        """The sparsity of each pruning step, as the schedule has them; with `--smoke` the last ones."""
        found = SCHEDULES[self.schedule](self.limit, self.number_of_steps(timeline))
        return found[-LAST_STEPS:] if self.smoke else found

    def plan_of_axes(self, timeline: Timeline) -> Plan:
        """The sparsities of the schedule, when the criterion's timing says."""
        timing = "before" if timeline.at_once else "multishot" if self.in_levels else self.timing
        return TIMINGS[timing](self.sparsities(timeline), timeline)

    def kept(self) -> dict[str, Tensor]:
        """Which of the prunable weights are kept now: boolean tensors of their shapes, by layer name."""
        kept = self.masks.kept
        return {
            name: kept[name] if name in kept else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self.weights.items()
        }

    def dense_weights(self) -> dict[str, Tensor]:
        """The prunable weights, with the values that pruned ones had before (only where `regrowth` is "value")."""
        return {
            name: torch.where(mask, self.weights[name].detach(), self._values[name])
            if name in self._values
            else self.weights[name].detach()
            for name, mask in self.kept().items()
        }

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningStep:
        """Prune to this fraction of the prunable weights: exactly round((1 - sparsity) * N) of N are kept.

        A weight that was pruned stays so, unless `regrowth` says otherwise; equal scores are decided by position.
        `last` says that no step will follow, so that the mask may be shuffled.
        """
        start = time.perf_counter()
        step = self.prune_by(self.scores(batches), sparsity, epoch, last)
        step.seconds = time.perf_counter() - start
        return step

    def prune_and_repair(
        self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False, final: bool = True
    ) -> PruningStep:
        """Prune as `prune` does, or to what `--target` asks; what is left is then repaired as `--repair` says.

        `final` says that no other step follows at this step of training; before that repairs are those of
        `--repair_between`. All are made on the batches of the first step, to what the network gave before it.
        """
        if not (self.repair or self.repair_between or self.target):
            return self.prune(sparsity, batches, epoch, last)
        from secateur.pruning.steps import prune_and_repair  # here, as most runs prune to a sparsity alone

        return prune_and_repair(self, sparsity, batches, epoch, last, final)

    def prune_by(self, scores: dict[str, Tensor], sparsity: float, epoch: int = 0, last: bool = False) -> PruningStep:
        """Prune as `prune` does, by these scores."""
        shapes = {name: weight.shape for name, weight in self.weights.items()}
        scores = checked_scores(scores, shapes, type(self).__name__, "scores", "layer of self.weights")
        if self.invert_scores:
            scores = {name: -score for name, score in scores.items()}
        before = self.kept()
        alive = {name: count_true(mask) for name, mask in before.items()}
        sizes = {name: weight.numel() for name, weight in self.weights.items()}
        candidates = sum(sizes.values())
        self._fixed = own_counts(self.own_sparsities, self.progress(sparsity), sizes if self.regrowth else alive, sizes)
        keep = round((1 - sparsity) * (candidates - sum(sizes[name] for name in self._fixed)))
        keep += sum(self._fixed.values())
        if self.regrowth is None:
            scores = {name: score.masked_fill(~before[name], -torch.inf) for name, score in scores.items()}
            keep = min(keep, sum(alive.values()))
        masks = self.select(scores, keep)
        if self.regrowth is None:
            masks = {name: mask & before[name] for name, mask in masks.items()}
        if last and self.shuffle_masks:
            masks = shuffled(masks, self.seed)
        regrown = self._apply(masks, before)
        left = {name: count_true(mask) for name, mask in masks.items()}
        kept = sum(left.values())
        return PruningStep(
            epoch,
            sparsity if self.has_limit and not self._fixed else 1 - kept / candidates,
            candidates,
            kept,
            scores,
            masks,
            {name: mask for name, mask in regrown.items() if count_true(mask)},
            [name for name, number in left.items() if alive[name] and not number],
        )

    def _apply(self, masks: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, Tensor]:
        """Set the masks, and give the weights that come back their values; returns where that is."""
        regrown = {name: mask & ~before[name] for name, mask in masks.items()}
        if self.regrowth == "value" or self.shuffle_masks:
            self._values = {name: weight.clone() for name, weight in self.dense_weights().items()}
        self.masks.set(masks)
        with torch.no_grad():
            for name, value in self._values.items():
                self.weights[name].copy_(torch.where(regrown[name], value, self.weights[name]))
        return regrown

    def check_axes(self) -> None:
        """Refuse an axis that does not exist, naming the class, and options that contradict each other."""
        who = type(self).__name__
        known: dict[str, dict[str, Any]] = {"schedule": SCHEDULES, "timing": TIMINGS, "distribution": DISTRIBUTIONS}
        for name, table in known.items():
            own = getattr(self, name)
            if not isinstance(own, str) or own not in table:
                raise UserError(f"{who}.{name} is {own!r}, which is not a {name}{nearest(str(own), table)}")
        check_amount(self)
        if self.group_pattern and self.shuffle_masks:
            raise UserError(f"--shuffle_masks would destroy the --pattern {self.pattern}: give one of them")
        if self.regrowth and not self.masks.hold:
            raise UserError(f"{who} regrows weights, which --disable_masking leaves no record of: give one of them")
        if self.in_levels and "timing" in self.given:
            raise UserError("--experiment multishot says when weights are pruned: leave out --prune_moment")
