"""Random pruning of weights."""

from collections.abc import Iterable

from torch import Tensor

from utils.pruning.criterion import Criterion
from utils.pruning.saliency import Batch
from utils.pruning.scores import random_scores


class UnstructuredRandom(Criterion):
    """Prunes weights at random: the baseline that every score must beat. Seeded by `--seed`."""

    aliases = ("rand",)
    reads = ("pruning_rate",)

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Draw each score uniformly from [0, 1)."""
        return random_scores(self.weights, self.arguments.seed, "random scores")

    @property
    def limit(self) -> float:
        """`--pruning_limit`, or `--pruning_rate` where only that was given."""
        only_rate = "pruning_rate" in self.arguments.explicit and not (
            {"pruning_limit", "compression"} & self.arguments.explicit
        )
        return self.arguments.pruning_rate if only_rate and not self.pattern else super().limit
