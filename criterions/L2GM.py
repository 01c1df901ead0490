"""Pruning of the channels whose filters others can stand in for."""

import torch
from torch import Tensor

from secateur.pruning.filters import FilterCriterion


class L2GM(FilterCriterion):
    """The distance from the geometric median (He et al., 2019, "Filter Pruning via Geometric Median", equation 6).

    score(c) = the sum of the Euclidean distances from the filter of channel c to all filters of its layer: those in the
    middle of the others go, the same share in every layer. `--filter_bias` counts the bias too, as neuron merging does.
    """

    aliases = ("l2-gm",)

    def measure(self, filters: Tensor) -> Tensor:
        """The sum of distances from each filter to the others."""
        return torch.cdist(filters, filters).sum(1)
