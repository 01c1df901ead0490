"""The base of criteria that judge a channel by its filter, the weights that it is computed with."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.filters import filter_scores
from secateur.config.option import option
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class FilterCriterion(StructuredCriterion):
    """Scores filters, which look at no data; a subclass says by `measure` how. The same share goes in every layer."""

    filter_bias: bool = option(
        False, "treat a filter's bias as one of its weights, [weights | bias], as neuron merging's program does"
    )

    distribution = "uniform"

    def measure(self, filters: Tensor) -> Tensor:
        """Turn filters (O, F) into scores (O,)."""
        raise NotImplementedError(f"{type(self).__name__} has no method measure(filters)")

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The measure of each filter; channels of coupled layers add theirs up."""
        return filter_scores(self.network, self.groups, self.measure, bias=self.filter_bias)
