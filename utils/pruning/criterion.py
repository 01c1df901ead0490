"""The base of every criterion: score x schedule x moment x distribution, each replaceable alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError, nearest
from utils.pruning.distributions import DISTRIBUTIONS, check_pattern, read_pattern
from utils.pruning.masks import Masks
from utils.pruning.moments import MOMENTS, Plan, Timing
from utils.pruning.saliency import Batch, LossFunction
from utils.pruning.schedules import SCHEDULES
from utils.pruning.selection import select, select_in_groups
from utils.ranges import number
from utils.remembering import Remembering
from utils.seeds import seeded_generator
from utils.smoke import EVENTS


@dataclass
class PruningEvent:
    """What one pruning event did."""

    #: Epochs of training before it.
    epoch: int
    #: Its target: the share of what competes that is gone after it; without one, what that has come to.
    sparsity: float
    #: Weights that compete, and those of them that are kept now.
    competing: int
    kept: int
    #: The scores, by layer; -inf for a weight that had been pruned before and cannot come back.
    scores: dict[str, Tensor] = field(repr=False)
    masks: dict[str, Tensor] = field(repr=False)
    #: True where a weight has come back, for the layers where some have.
    grown: dict[str, Tensor] = field(default_factory=dict, repr=False)
    #: Layers that have lost their last weight in this event.
    collapsed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: What is counted: "weights", or "nodes" where channels were removed.
    unit: str = "weights"
    #: Of the tensors that have become smaller, by their names in the state_dict: where what is left of them was in the
    #: flattened tensor before.
    cuts: dict[str, Tensor] = field(default_factory=dict, repr=False)
    #: The layers and channels that were removed, which repeats the event on a network as it was before.
    history: list[tuple[str, list[int]]] = field(default_factory=list, repr=False)
    #: Told to the user and kept in results.json.
    notices: list[str] = field(default_factory=list, repr=False)
    #: What it did to weights before it removed channels, where it did both; of their shapes before that.
    weights: PruningEvent | None = None


class Criterion(Remembering):
    """Base of all criteria. Most define `scores` alone, and name another schedule or moment.

    Parameters: `network`; `masks` of its weights; `loss(logits, targets)`; the names of the layers in `competing`; and
    the `arguments` of the command line.
    """

    #: Other names on the command line, in lower case.
    aliases: tuple[str, ...] = ()
    #: What is pruned.
    unit: str = "weights"
    #: One image (1, C, H, W) on the network's device, for tracing; set before `plan` is called.
    example: Tensor
    #: Outputs of each layer before anything was removed; set before `plan` is called.
    dense_outputs: dict[str, int]

    # The axes, which the flags of the same name (--prune_schedule, --prune_moment, --distribution) override.

    #: How the target is approached: a name in utils/pruning/schedules.py.
    schedule: str = "one_shot"
    #: When: a name in utils/pruning/moments.py.
    moment: str = "before"
    #: How the kept weights are spread over the layers: a name in utils/pruning/distributions.py.
    distribution: str = "global"

    #: Steps of the schedule where `--snip_steps` was not typed; None: its default.
    steps: int | None = None
    #: What a pruned weight has when it comes back: "zero", or the "value" that it had; None: none comes back.
    revival: str | None = None
    #: Flags that this criterion sets where they were not typed, as {"loss": "HoyerSquareCrossEntropy"}.
    implies: dict[str, str] = {}
    #: Of the flags that only some criteria read, those that this one does, beside those of its schedule and moment.
    reads: tuple[str, ...] = ()
    #: Attributes that change from event to event or step to step, kept for `--resume`; a subclass names its own alone.
    remembers: tuple[str, ...] = ("_values",)
    #: Whether `--pruning_limit` says how much goes; where not, the criterion finds that out, as by a threshold.
    has_limit: bool = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare what every criterion understands."""
        for flag, known, what in (
            ("--prune_schedule", SCHEDULES, "how the target is approached"),
            ("--prune_moment", [name for name in MOMENTS if name != "multishot"], "when weights are pruned"),
            ("--distribution", DISTRIBUTIONS, "how the kept weights are spread over the layers"),
        ):
            parser.add_argument(flag, choices=tuple(known), help=f"{what} (default: the criterion's own way)")
        parser.add_argument(
            "--pattern",
            type=check_pattern,
            default="unstructured",
            metavar="N:M",
            help="keep N of each M weights along the inputs, as 2:4 (default: %(default)s)",
        )
        parser.add_argument(
            "--saliency_batches",
            type=number(int, 1),
            default=5,
            metavar="N",
            help="batches of training data that scores are computed on (default: %(default)s)",
        )
        for flag, what in (
            ("--shuffle_masks", "sanity check: shuffle the final mask within each layer"),
            ("--reinitialise", "sanity check: draw the weights anew after the last pruning event"),
            ("--invert_scores", "sanity check: prune the weights with the largest scores"),
        ):
            parser.add_argument(flag, action="store_true", help=f"{what} (Frankle et al., 2020)")

    def __init__(
        self,
        network: nn.Module,
        masks: Masks,
        loss: LossFunction,
        competing: Iterable[str],
        arguments: argparse.Namespace,
    ) -> None:
        self.network = network
        self.masks = masks
        self.loss = loss
        self.arguments = arguments
        #: The weights that compete, by layer name.
        self.weights = {name: masks.weights[name] for name in competing}
        self.pattern = read_pattern(arguments.pattern)
        self.check_axes()
        #: What pruned weights were before, where they may come back to it.
        self._values: dict[str, Tensor] = {}

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return the score of each weight in `self.weights`, a tensor of the weight's shape: the smallest are pruned.

        `batches` are some batches of training data, inputs (B, C, H, W) and targets (B,), on the network's device.
        """
        raise UserError(f"the criterion {type(self).__name__} has no method scores(batches)")

    def after_backward(self) -> None:
        """Look at the gradients of a training step, of pruned weights too; called before they are masked."""

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """Return boolean masks of the scores' shapes that keep `keep` weights, or what the pattern keeps."""
        if self.pattern:
            n, m = self.pattern
            density = keep / sum(score.numel() for score in scores.values())
            return select_in_groups(scores, max(n, round(m * density)), m)
        alive = None if self.revival else {name: int(mask.sum()) for name, mask in self.kept().items()}
        return select(scores, keep, self.axis("distribution"), alive)

    def axis(self, name: str) -> str:
        """The schedule, moment or distribution of this run: the flag's where it was typed, else the criterion's own."""
        multishot = {"moment": "multishot", "schedule": "exponential"} if self.in_levels else {}
        flag = name if name == "distribution" else f"prune_{name}"
        named = getattr(self.arguments, flag) or multishot.get(name) or getattr(type(self), name)
        return "during" if named == "late" and "prune_delay" in self.arguments.explicit else named

    @property
    def in_levels(self) -> bool:
        """Whether the run trains, prunes and rewinds again and again, as `--experiment multishot` says."""
        return self.arguments.experiment == "multishot"

    def reads_flag(self, flag: str) -> bool:
        """Whether a flag that only some criteria read has an effect with this one."""
        read = {
            "snip_steps": self.axis("schedule") != "one_shot",
            "prune_delay": self.axis("moment") in ("during", "rounds", "late"),
            "prune_freq": self.axis("moment") in ("during", "rounds"),
            "pruning_limit": self.has_limit,
            "compression": self.has_limit,
            "outer_layer_pruning": self.unit == "weights",
        }
        return flag in self.reads or read.get(flag, False)

    @property
    def limit(self) -> float:
        """The final sparsity."""
        keep, group = self.pattern or (0, 0)
        return 1 - keep / group if group else self.arguments.pruning_limit

    def number_of_steps(self, timing: Timing) -> int:
        """Steps of the schedule: `--snip_steps`, or the criterion's own number where that was not typed."""
        typed = "snip_steps" in self.arguments.explicit
        return self.arguments.snip_steps if typed or self.steps is None else self.steps

    def plan(self, timing: Timing) -> Plan:
        """Say after how many steps of training which sparsities are approached.

        Raises `UserError` where that cannot be: no weights compete, or the epochs are too few.
        """
        if not self.weights:
            raise UserError(
                "no weights compete: the network has none between its first and its last layer; "
                "add --outer_layer_pruning to let those two compete"
            )
        return self.plan_of_axes(timing)

    def sparsities(self, timing: Timing) -> list[float]:
        """The sparsity of each event, as the schedule has them; with `--smoke` the last ones."""
        found = SCHEDULES[self.axis("schedule")](self.limit, self.number_of_steps(timing))
        return found[-EVENTS:] if self.arguments.smoke else found

    def plan_of_axes(self, timing: Timing) -> Plan:
        """The sparsities of the schedule at the moment of the criterion."""
        return MOMENTS[self.axis("moment")](self.sparsities(timing), timing)

    def kept(self) -> dict[str, Tensor]:
        """Which of the competing weights are kept now: boolean tensors of their shapes, by layer name."""
        kept = self.masks.kept
        return {
            name: kept[name] if name in kept else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self.weights.items()
        }

    def dense_weights(self) -> dict[str, Tensor]:
        """The competing weights, with the values that pruned ones had before (only where `revival` is "value")."""
        return {
            name: torch.where(mask, self.weights[name].detach(), self._values[name])
            if name in self._values
            else self.weights[name].detach()
            for name, mask in self.kept().items()
        }

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningEvent:
        """Prune to this share of the competing weights: exactly round((1 - sparsity) * N) of N are kept.

        A weight that was pruned stays so, unless `revival` says otherwise; equal scores are decided by position.
        `last` says that no event will follow, so that the mask may be shuffled.
        """
        start = time.perf_counter()
        event = self.prune_by(self.scores(batches), sparsity, epoch, last)
        event.seconds = time.perf_counter() - start
        return event

    def prune_by(self, scores: dict[str, Tensor], sparsity: float, epoch: int = 0, last: bool = False) -> PruningEvent:
        """Prune as `prune` does, by these scores."""
        shapes = {name: weight.shape for name, weight in self.weights.items()}
        scores = self.checked(scores, shapes, "scores", "layer of self.weights")
        if self.arguments.invert_scores:
            scores = {name: -score for name, score in scores.items()}
        before = self.kept()
        competing = sum(weight.numel() for weight in self.weights.values())
        keep = round((1 - sparsity) * competing)
        if self.revival is None:
            scores = {name: score.masked_fill(~before[name], -torch.inf) for name, score in scores.items()}
            keep = min(keep, sum(int(mask.sum()) for mask in before.values()))
        masks = self.select(scores, keep)
        if self.revival is None:
            masks = {name: mask & before[name] for name, mask in masks.items()}
        if last and self.arguments.shuffle_masks:
            masks = self._shuffled(masks)
        grown = self._apply(masks, before)
        kept = sum(int(mask.sum()) for mask in masks.values())
        return PruningEvent(
            epoch,
            sparsity if self.has_limit else 1 - kept / competing,
            competing,
            kept,
            scores,
            masks,
            {name: mask for name, mask in grown.items() if mask.any()},
            [name for name, mask in masks.items() if not mask.any() and before[name].any()],
        )

    def _apply(self, masks: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, Tensor]:
        """Set the masks, and give the weights that come back their values; returns where that is."""
        grown = {name: mask & ~before[name] for name, mask in masks.items()}
        if self.revival == "value" or self.arguments.shuffle_masks:
            self._values = {name: weight.clone() for name, weight in self.dense_weights().items()}
        self.masks.set(masks)
        with torch.no_grad():
            for name, value in self._values.items():
                self.weights[name].copy_(torch.where(grown[name], value, self.weights[name]))
        return grown

    def _shuffled(self, masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Move the kept places of each layer about at random: as many stay, but others."""
        generator = seeded_generator(self.arguments.seed, "shuffled masks")
        return {
            name: mask.flatten()[torch.randperm(mask.numel(), generator=generator).to(mask.device)].view_as(mask)
            for name, mask in masks.items()
        }

    def check_axes(self) -> None:
        """Refuse an axis that does not exist, naming the class, and flags that contradict each other."""
        who = type(self).__name__
        known: dict[str, dict[str, Callable[..., Any] | None]] = {
            "schedule": SCHEDULES,
            "moment": MOMENTS,
            "distribution": DISTRIBUTIONS,
        }
        for name, table in known.items():
            own = getattr(type(self), name)
            if not isinstance(own, str) or own not in table:
                raise UserError(f"{who}.{name} is {own!r}, which is no {name}{nearest(str(own), table)}")
        flags = self.arguments
        if self.pattern and {"pruning_limit", "compression"} & flags.explicit:
            raise UserError(f"--pattern {flags.pattern} says how much is pruned: leave out the limit")
        if self.pattern and flags.shuffle_masks:
            raise UserError(f"--shuffle_masks would destroy the --pattern {flags.pattern}: give one of them")
        if self.pattern and flags.distribution not in (None, "uniform"):
            raise UserError(f"--pattern {flags.pattern} prunes all layers alike: leave out --distribution")
        if not self.has_limit and (self.pattern or flags.distribution):
            flag = "pattern" if self.pattern else "distribution"
            raise UserError(f"{who} takes all weights that are small, wherever they are: leave out --{flag}")
        if self.revival and flags.disable_masking:
            raise UserError(f"{who} brings weights back, which --disable_masking leaves no record of: give one of them")
        if self.in_levels and flags.prune_moment:
            raise UserError("--experiment multishot says when weights are pruned: leave out --prune_moment")

    def checked(
        self, scores: dict[str, Tensor], shapes: dict[str, torch.Size], method: str, what: str
    ) -> dict[str, Tensor]:
        """Refuse scores that say nothing, naming the criterion and the layer; return them as numbers to be ranked."""
        who = f"{type(self).__name__}.{method}"
        if not (isinstance(scores, dict) and all(isinstance(score, Tensor) for score in scores.values())):
            raise UserError(f"{who} must return a dictionary of tensors, one for each {what}")
        if scores.keys() != shapes.keys():
            wrong = sorted(scores.keys() ^ shapes.keys())
            raise UserError(f"{who} must return one tensor for each {what}: see {wrong[0]}")
        for name, score in scores.items():
            if score.shape != shapes[name]:
                raise UserError(f"{who}: {name} has the shape {tuple(score.shape)}, not {tuple(shapes[name])}")
        for name, score in scores.items():
            if score.isnan().any():
                criterion = type(self).__name__
                raise UserError(
                    f"{criterion}: the scores of {name} are not numbers (NaN); is --learning_rate too large?"
                )
        # Infinity is kept for weights that were pruned before.
        wide = {
            name: (score if score.dtype in (torch.float32, torch.float64) else score.float()).detach()
            for name, score in scores.items()
        }
        limits = {name: torch.finfo(score.dtype).max for name, score in wide.items()}
        return {name: score.clamp(-limits[name], limits[name]) for name, score in wide.items()}
