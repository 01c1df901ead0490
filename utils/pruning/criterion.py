"""The base of every criterion: score x schedule x distribution x moment, each replaceable alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.pruning import moments, schedules, selection
from utils.pruning.masks import Masks
from utils.pruning.moments import Moment, Plan, Timing
from utils.pruning.saliency import Batch, LossFunction
from utils.ranges import number


@dataclass
class PruningEvent:
    """What one pruning event did."""

    #: Epochs of training before it.
    epoch: int
    #: Its target: the share of the competing weights that is gone after it.
    sparsity: float
    #: Weights that compete, and those of them that are kept now.
    competing: int
    kept: int
    #: The scores, by layer; -inf for a weight that had been pruned before.
    scores: dict[str, Tensor] = field(repr=False)
    masks: dict[str, Tensor] = field(repr=False)
    #: Layers that have lost their last weight in this event.
    collapsed: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Criterion:
    """Base of all criteria. Most define `scores` alone, and name another schedule or moment.

    Parameters: `network`; `masks` of its weights; `loss(logits, targets)`; the names of the layers in `competing`; and
    the `arguments` of the command line.
    """

    #: Other names on the command line, in lower case.
    aliases: tuple[str, ...] = ()

    # The axes are plain functions, called through the class, `type(self).schedule(...)`: a subclass names another.

    #: (limit, steps) -> the cumulative sparsity of each event; see utils/pruning/schedules.py.
    schedule: Callable[[float, int], list[float]] = schedules.one_shot
    #: (sparsities, timing) -> when each comes; see utils/pruning/moments.py.
    moment: Moment = moments.before_training
    #: (scores, keep) -> masks; see utils/pruning/selection.py.
    distribution: Callable[[dict[str, Tensor], int], dict[str, Tensor]] = selection.keep_largest

    #: Of the flags that only some criteria read, those that this one does, beside those of its schedule and moment.
    reads: tuple[str, ...] = ()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare what every criterion understands."""
        help_text = "batches of training data that scores are computed on (default: %(default)s)"
        parser.add_argument("--saliency_batches", type=number(int, 1), default=5, metavar="N", help=help_text)

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

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return the score of each weight in `self.weights`, a tensor of the weight's shape: the smallest are pruned.

        `batches` are some batches of training data, inputs (B, C, H, W) and targets (B,), on the network's device.
        """
        raise UserError(f"the criterion {type(self).__name__} has no method scores(batches)")

    def reads_flag(self, flag: str) -> bool:
        """Whether a flag that only some criteria read has an effect with this one."""
        axes = (type(self).schedule, type(self).moment)
        return flag in self.reads or any(flag in getattr(axis, "reads", ()) for axis in axes)

    @property
    def limit(self) -> float:
        """The final sparsity."""
        return self.arguments.pruning_limit

    def plan(self) -> Plan:
        """Say after how many epochs which sparsities are approached.

        Raises `UserError` where that cannot be: no weights compete, or the epochs are too few.
        """
        if not self.weights:
            raise UserError(
                "no weights compete: the network has none between its first and its last layer; "
                "add --outer_layer_pruning to let those two compete"
            )
        flags = self.arguments
        timing = Timing(flags.pre_epochs, flags.epochs, flags.prune_delay, flags.prune_freq)
        return type(self).moment(type(self).schedule(self.limit, flags.snip_steps), timing)

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0) -> PruningEvent:
        """Prune to this share of the competing weights: exactly round((1 - sparsity) * N) of N are kept.

        A weight that was pruned stays so; equal scores are decided by position.
        """
        start = time.perf_counter()
        scores = self._checked(self.scores(batches))
        alive = {name: self.masks.kept.get(name) for name in self.weights}
        for name, mask in alive.items():
            if mask is not None:
                scores[name] = scores[name].masked_fill(~mask, -torch.inf)
        competing = sum(weight.numel() for weight in self.weights.values())
        left = sum(self.weights[name].numel() if mask is None else int(mask.sum()) for name, mask in alive.items())
        keep = min(round((1 - sparsity) * competing), left)
        masks = type(self).distribution(scores, keep)
        empty = [name for name, mask in masks.items() if not mask.any()]
        collapsed = [name for name in empty if alive[name] is None or alive[name].any()]
        self.masks.set(masks)
        return PruningEvent(
            epoch, sparsity, competing, keep, scores, masks, collapsed, seconds=time.perf_counter() - start
        )

    def _checked(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Refuse scores that say nothing, naming the criterion and the layer; return them as numbers to be ranked."""
        who = type(self).__name__
        if not (isinstance(scores, dict) and all(isinstance(score, Tensor) for score in scores.values())):
            raise UserError(f"{who}.scores must return a dictionary of tensors, one for each layer of self.weights")
        if scores.keys() != self.weights.keys():
            wrong = sorted(scores.keys() ^ self.weights.keys())
            raise UserError(f"{who}.scores must return one tensor for each layer of self.weights: see {wrong[0]}")
        for name, score in scores.items():
            if score.shape != self.weights[name].shape:
                wanted = tuple(self.weights[name].shape)
                raise UserError(f"{who}.scores: {name} has the shape {tuple(score.shape)}, its weight {wanted}")
        for name, score in scores.items():
            if score.isnan().any():
                raise UserError(f"{who}: the scores of {name} are not numbers (NaN); is --learning_rate too large?")
        # Minus infinity is kept for weights that were pruned before.
        wide = {
            name: (score if score.dtype in (torch.float32, torch.float64) else score.float()).detach()
            for name, score in scores.items()
        }
        return {name: score.clamp(min=torch.finfo(score.dtype).min) for name, score in wide.items()}
