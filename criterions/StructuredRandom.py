"""Random pruning of channels."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.pruning.saliency import Batch
from secateur.pruning.scores import random_scores
from secateur.pruning.structured import StructuredCriterion


class StructuredRandom(StructuredCriterion):
    """Removes channels at random: the baseline that every score of channels must beat. Seeded by `--seed`."""

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Draw each score uniformly from [0, 1)."""
        channels = {root: torch.empty(group.channels) for root, group in self.groups.items()}
        return random_scores(channels, self.seed, "random channels")
