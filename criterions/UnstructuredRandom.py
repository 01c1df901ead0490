"""Random pruning of weights."""

from collections.abc import Iterable

from torch import Tensor

from secateur.config.option import option
from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch
from secateur.pruning.scores import random_scores


class UnstructuredRandom(Criterion):
    """Prunes weights at random: the baseline that every score must beat. Seeded by `--seed`."""

    pruning_rate: float | None = option(
        None,
        "fraction of a layer's weights that SET and RigL exchange in a step; final sparsity of UnstructuredRandom",
        low=0,
        high=1,
        below=True,
        metavar="FRACTION",
        general=True,
    )

    aliases = ("rand",)

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Draw each score uniformly from [0, 1)."""
        return random_scores(self.weights, self.seed, "random scores")

    @property
    def limit(self) -> float:
        """`--pruning_limit`, or `--pruning_rate` where only that was given."""
        only_rate = self.pruning_rate is not None and not {"pruning_limit", "compression"} & self.given
        return self.pruning_rate if only_rate and not self.group_pattern else super().limit
