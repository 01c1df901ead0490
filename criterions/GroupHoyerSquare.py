"""Pruning of the channels that the Group-HS penalty has made small."""

import argparse
from collections.abc import Iterable

from torch import Tensor

from losses.GroupHoyerSquareCrossEntropy import GroupHoyerSquareCrossEntropy
from utils.pruning.criterion import PruningEvent
from utils.pruning.filters import filter_scores
from utils.pruning.saliency import Batch
from utils.pruning.structured import StructuredCriterion
from utils.ranges import number


class GroupHoyerSquare(StructuredCriterion):
    """DeepHoyer, of channels (Yang et al., 2020, "DeepHoyer", section 4.2).

    Trains with the loss GroupHoyerSquareCrossEntropy, whose penalty (strength `--hoyer_reg`) drives all weights of a
    channel to zero; then, once, removes the channels whose weights are all |w| <= `--hoyer_threshold`, however many
    those are (`--pruning_limit` is not used), and goes on training without the penalty. Biases have no say. That moment
    is epoch `--prune_delay`, by default at seven eighths of training.
    """

    implies = {"loss": "GroupHoyerSquareCrossEntropy"}
    moment = "late"
    reads = ("hoyer_reg",)
    has_limit = False

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the threshold."""
        help_text = "channels with no weight larger than this are removed (default: %(default)s)"
        parser.add_argument("--hoyer_threshold", type=number(float, 0), default=1e-3, metavar="SIZE", help=help_text)

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """How many weights of the channel are larger than the threshold."""
        threshold = self.arguments.hoyer_threshold
        return filter_scores(self.network, self.groups, lambda filters: (filters.abs() > threshold).sum(1))

    def choose(self, scores: dict[str, Tensor], sparsity: float) -> dict[str, list[int]]:
        """All channels without such a weight; a layer that has no other keeps its last one."""
        small = {root: (score == 0).nonzero().flatten().tolist() for root, score in scores.items()}
        chosen = {root: self.groups[root].removable(units) for root, units in small.items()}
        return {root: units for root, units in chosen.items() if units}

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningEvent:
        """Remove the channels, and end the penalty."""
        event = super().prune(sparsity, batches, epoch, last)
        if last and isinstance(self.loss, GroupHoyerSquareCrossEntropy):
            self.loss.has_pruned = True
        return event
