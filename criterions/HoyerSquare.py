"""Pruning of the weights that the Hoyer-Square penalty has made small."""

from collections.abc import Iterable

from torch import Tensor

from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch
from secateur.pruning.threshold import PrunesByThreshold


class HoyerSquare(PrunesByThreshold, Criterion):
    """DeepHoyer, element-wise (Yang et al., 2020, "DeepHoyer", section 4.1).

    Trains with the loss HoyerSquareCrossEntropy, whose penalty (strength `--hoyer_reg`) drives weights to zero; then,
    once, prunes all weights with |w| <= `--hoyer_threshold`, however many those are (`--pruning_limit` is not used),
    and goes on training without the penalty. That is at epoch `--prune_delay`, by default at seven eighths of training.
    """

    implies = {"loss": "HoyerSquareCrossEntropy"}

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|weight|."""
        return {name: weight.abs() for name, weight in self.weights.items()}

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """All weights above the threshold."""
        return {name: score > self.hoyer_threshold for name, score in scores.items()}
