"""Pruning of the channels that a norm scales down."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion
from secateur.utils.errors import UserError


class BNScale(StructuredCriterion):
    """The scale of batch normalisation (Liu et al., 2017, "Network Slimming", section 3): score(c) = |gamma|.

    Channels of several norms are scored by the sum. Channels without a norm stay.
    """

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The size of each channel's scale."""
        modules = dict(self.network.named_modules())
        scores = {}
        for root, group in self.groups.items():
            scores[root] = torch.zeros(group.channels)
            scaled = [(modules[name].weight, own, ours) for name, own, ours in group.norms]
            scaled = [(weight, own, ours) for weight, own, ours in scaled if weight is not None]
            if not scaled:
                scores[root] += torch.inf
            for weight, own, ours in scaled:
                scores[root].index_add_(0, ours, weight.detach().abs().cpu()[own].float())
        if all(score.isinf().all() for score in scores.values()):
            raise UserError("BNScale prunes by the scales of norms, and this network has no norm with scales")
        return scores
