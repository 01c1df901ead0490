"""What DeepHoyer's criteria have in common: their loss makes weights small, a threshold says which are pruned, once."""

from __future__ import annotations

from collections.abc import Iterable

from secateur.config.option import Configurable, option
from secateur.pruning.plan import PruningStep
from secateur.pruning.saliency import Batch


class PrunesByThreshold(Configurable):
    """Prunes, once, all that is at most `--hoyer_threshold`, and ends the penalty (Yang et al., 2020, DeepHoyer).

    That is at epoch `--prune_delay`, by default at seven eighths of training; `--pruning_limit` is not used.
    """

    title = "DeepHoyer"

    hoyer_threshold: float = option(1e-3, "prune weights of at most this magnitude", low=0, metavar="SIZE")

    timing = "late"
    has_limit = False

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningStep:
        """Prune, and end the penalty."""
        step = super().prune(sparsity, batches, epoch, last)
        if last and hasattr(self.loss, "has_pruned"):
            self.loss.has_pruned = True
        return step
