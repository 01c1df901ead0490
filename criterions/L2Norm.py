"""Pruning of the channels with the smallest filters."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.filters import filter_scores
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class L2Norm(StructuredCriterion):
    """The L2 norm of a channel's filter (He et al., 2018, "Soft Filter Pruning", section 3.2).

    score(c) = sqrt(sum w^2) over the weights that channel c is computed with. The same share goes in every layer.
    """

    aliases = ("l2-norm",)
    distribution = "uniform"

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The Euclidean norm of each filter."""
        return filter_scores(self.network, self.groups, lambda filters: filters.norm(dim=1))
