"""Pruning of the channels with the smallest filters."""

from torch import Tensor

from secateur.pruning.filters import FilterCriterion


class L2Norm(FilterCriterion):
    """The L2 norm of a channel's filter (He et al., 2018, "Soft Filter Pruning", section 3.2).

    score(c) = sqrt(sum w^2) over the weights that channel c is computed with. The same share goes in every layer.
    `--filter_bias` counts the bias too, as neuron merging does.
    """

    aliases = ("l2-norm",)

    def measure(self, filters: Tensor) -> Tensor:
        """The Euclidean norm of each filter."""
        return filters.norm(dim=1)
