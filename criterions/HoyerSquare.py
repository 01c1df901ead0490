"""Pruning of the weights that the Hoyer-Square penalty has made small."""

import argparse
from collections.abc import Iterable

from torch import Tensor

from losses.HoyerSquareCrossEntropy import HoyerSquareCrossEntropy
from utils.pruning.criterion import Criterion, PruningEvent
from utils.pruning.saliency import Batch
from utils.ranges import number


class HoyerSquare(Criterion):
    """DeepHoyer, element-wise (Yang et al., 2020, "DeepHoyer", section 4.1).

    Trains with the loss HoyerSquareCrossEntropy, whose penalty (strength `--hoyer_reg`) drives weights to zero; then,
    once, prunes all weights with |w| <= `--hoyer_threshold`, however many those are (`--pruning_limit` is not used),
    and goes on training without the penalty. That moment is epoch `--prune_delay`, by default at seven eighths of
    training.
    """

    implies = {"loss": "HoyerSquareCrossEntropy"}
    moment = "late"
    reads = ("hoyer_reg",)
    has_limit = False

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the threshold."""
        help_text = "weights of at most this size are pruned (default: %(default)s)"
        parser.add_argument("--hoyer_threshold", type=number(float, 0), default=1e-3, metavar="SIZE", help=help_text)

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|weight|."""
        return {name: weight.abs() for name, weight in self.weights.items()}

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """All weights above the threshold."""
        return {name: score > self.arguments.hoyer_threshold for name, score in scores.items()}

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningEvent:
        """Prune the weights, and end the penalty."""
        event = super().prune(sparsity, batches, epoch, last)
        if last and isinstance(self.loss, HoyerSquareCrossEntropy):
            self.loss.has_pruned = True
        return event
