"""Pruning of the channels with the smallest filters."""

from torch import Tensor

from secateur.pruning.filters import FilterCriterion


class L1Norm(FilterCriterion):
    """The L1 norm of a channel's filter (Li et al., 2017, "Pruning Filters for Efficient ConvNets", section 3.1).

    score(c) = sum |w| over the weights that channel c is computed with. The same share goes in every layer.
    `--filter_bias` counts the bias too, as neuron merging does (Kim et al., 2020, section 3.2: [W | b]).
    """

    aliases = ("l1-norm",)

    def measure(self, filters: Tensor) -> Tensor:
        """Sum |weight| over each filter."""
        return filters.abs().sum(1)
