"""Pruning of the channels whose filters others can stand in for."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.channels.filters import filter_scores
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class L2GM(StructuredCriterion):
    """The distance from the geometric median (He et al., 2019, "Filter Pruning via Geometric Median", equation 6).

    score(c) = the sum of the Euclidean distances from the filter of channel c to all filters of its layer: those in the
    middle of the others go, the same share in every layer.
    """

    aliases = ("l2-gm",)
    distribution = "uniform"

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The sum of distances from each filter to the others."""
        return filter_scores(self.network, self.groups, lambda filters: torch.cdist(filters, filters).sum(1))
