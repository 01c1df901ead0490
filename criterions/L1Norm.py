"""Pruning of the channels with the smallest filters."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.filters import filter_scores
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class L1Norm(StructuredCriterion):
    """The L1 norm of a channel's filter (Li et al., 2017, "Pruning Filters for Efficient ConvNets", section 3.1).

    score(c) = sum |w| over the weights that channel c is computed with. The same share goes in every layer.
    """

    aliases = ("l1-norm",)
    distribution = "uniform"

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Sum |weight| over each filter."""
        return filter_scores(self.network, self.groups, lambda filters: filters.abs().sum(1))
