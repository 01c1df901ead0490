"""Pruning of the smallest weights."""

from collections.abc import Iterable

from torch import Tensor

from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch


class Magnitude(Criterion):
    """Magnitude pruning (Han et al., 2015, "Learning both Weights and Connections", section 3.1): score(w) = |w|.

    It judges weights that were trained: `--pre_epochs` says how long. All layers are ranked together, or each by itself
    with `--distribution uniform`, as Han et al. do.
    """

    aliases = ("mag",)

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|weight|."""
        return {name: weight.abs() for name, weight in self.weights.items()}
