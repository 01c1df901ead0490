"""Dynamic sparse training that grows where the gradient is large."""

import argparse
import math
from collections.abc import Iterable

from torch import Tensor

from utils.pruning.dynamic_sparse import DynamicSparse
from utils.pruning.moments import Timing
from utils.pruning.saliency import Batch, mean_gradients
from utils.ranges import number


class RigL(DynamicSparse):
    """The rigged lottery (Evci et al., 2020, "Rigging the Lottery", algorithm 1).

    Starts at the limit, at random, in Erdos-Renyi-Kernel proportions; every `--update_steps` steps each layer drops the
    smallest of its weights and grows as many, from zero, where |dL/dw| of the dense network is largest. The share that
    is exchanged falls from `--pruning_rate` (0.3) to 0 along half a cosine, which ends after three quarters of
    training.
    """

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare how often connections are exchanged."""
        parser.add_argument(
            "--update_steps",
            type=number(int, 1),
            default=100,
            metavar="N",
            help="steps of the optimizer between two updates, where --prune_freq is not given (default: %(default)s)",
        )

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient|, of the weights that are zero too."""
        gradients = mean_gradients(self.network, self.loss, batches, self.weights)
        return {name: gradient.abs() for name, gradient in gradients.items()}

    def interval(self, timing: Timing) -> int:
        """Steps from one update to the next."""
        in_epochs = "prune_freq" in self.arguments.explicit
        return super().interval(timing) if in_epochs else self.arguments.update_steps

    @property
    def drop_rate(self) -> float:
        """alpha / 2 * (1 + cos(pi * t / t_end))."""
        return super().drop_rate * (1 + math.cos(math.pi * self.updates / (self.planned_updates + 1))) / 2
