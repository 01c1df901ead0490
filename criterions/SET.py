"""Dynamic sparse training with random growth."""

from collections.abc import Iterable

from torch import Tensor

from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.saliency import Batch
from secateur.pruning.scores import random_scores


class SET(DynamicSparse):
    """Sparse evolutionary training (Mocanu et al., 2018, "Scalable training of neural networks", algorithm 1).

    Starts at the limit, at random, in Erdos-Renyi-Kernel proportions; every `--prune_freq` epochs each layer drops the
    share `--pruning_rate` (0.3) of its positive weights, the smallest, and of its negative ones, the largest, and grows
    as many at random. They start from zero, as in RigL's comparison with SET; SET's program draws them.
    """

    def staying(self, kept: Tensor, weight: Tensor) -> Tensor:
        """All but those of each sign that are nearest to zero."""
        positive = weight >= 0
        return super().staying(kept & positive, weight) | super().staying(kept & ~positive, weight)

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Random numbers, new ones at each update."""
        return random_scores(self.weights, self.seed, f"growth {self.updates}")
