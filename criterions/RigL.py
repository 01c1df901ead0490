"""Dynamic sparse training that grows where the gradient is large."""

import math
from collections.abc import Iterable

from torch import Tensor

from secateur.config.option import option
from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.plan import Timeline
from secateur.pruning.saliency import Batch, mean_gradients


class RigL(DynamicSparse):
    """The rigged lottery (Evci et al., 2020, "Rigging the Lottery", algorithm 1).

    Starts at the limit, at random, in Erdos-Renyi-Kernel proportions; every `--update_steps` steps each layer drops the
    smallest of its weights and grows as many, from zero, where |dL/dw| of the dense network is largest. The share that
    is exchanged falls from `--pruning_rate` (0.3) to 0 along half a cosine, which ends after three quarters of
    training.
    """

    update_steps: int = option(
        100, "steps of the optimizer between two updates, where --prune_freq is not given", low=1
    )

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient|, of the weights that are zero too."""
        gradients = mean_gradients(self.network, self.loss, batches, self.weights)
        return {name: gradient.abs() for name, gradient in gradients.items()}

    def interval(self, timeline: Timeline) -> int:
        """Steps from one update to the next."""
        return super().interval(timeline) if "prune_freq" in self.given else self.update_steps

    @property
    def drop_rate(self) -> float:
        """alpha / 2 * (1 + cos(pi * t / t_end))."""
        return super().drop_rate * (1 + math.cos(math.pi * self.updates / (self.planned_updates + 1))) / 2
