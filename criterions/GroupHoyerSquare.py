"""Pruning of the channels that the Group-HS penalty has made small."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.filters import filter_scores
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion
from secateur.pruning.threshold import PrunesByThreshold


class GroupHoyerSquare(PrunesByThreshold, StructuredCriterion):
    """DeepHoyer, of channels (Yang et al., 2020, "DeepHoyer", section 4.2).

    Trains with the loss GroupHoyerSquareCrossEntropy, whose penalty (strength `--hoyer_reg`) drives all weights of a
    channel to zero; then, once, removes the channels whose weights are all |w| <= `--hoyer_threshold`, however many
    those are (`--pruning_limit` is not used), and goes on training without the penalty. Biases have no say. That
    is at epoch `--prune_delay`, by default at seven eighths of training.
    """

    implies = {"loss": "GroupHoyerSquareCrossEntropy"}

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """How many weights of the channel are larger than the threshold."""
        return filter_scores(self.network, self.groups, lambda filters: (filters.abs() > self.hoyer_threshold).sum(1))

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect: all that is small goes."""
        return super().idle_options() | {"round_to": ""}

    def choose(self, scores: dict[str, Tensor], sparsity: float) -> dict[str, list[int]]:
        """All channels without such a weight; a layer that has no other keeps its last one."""
        small = {root: (score == 0).nonzero().flatten().tolist() for root, score in scores.items()}
        chosen = {root: self.groups[root].removable(units) for root, units in small.items()}
        return {root: units for root, units in chosen.items() if units}
