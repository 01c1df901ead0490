"""Dynamic sparse training with random growth."""

from collections.abc import Iterable

from torch import Tensor

from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.saliency import Batch
from secateur.pruning.scores import random_scores


class SET(DynamicSparse):
    """Sparse evolutionary training (Mocanu et al., 2018, "Scalable training of neural networks", algorithm 1).

    Starts at the limit, at random, in Erdos-Renyi-Kernel proportions; every `--prune_freq` epochs each layer drops the
    share `--pruning_rate` (0.3) of its weights, the smallest, and grows as many at random, from zero.
    """

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Random numbers, new ones at each update."""
        return random_scores(self.weights, self.seed, f"growth {self.updates}")
