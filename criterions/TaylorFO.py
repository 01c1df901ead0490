"""Pruning of channels by the first-order change of the loss."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.gates import gate_gradients
from secateur.pruning.saliency import Batch, ScoreMode, mean_over_batches
from secateur.pruning.structured import StructuredCriterion


class TaylorFO(ScoreMode, StructuredCriterion):
    """First-order Taylor importance (Molchanov et al., 2019, "Importance Estimation", section 3.1, Taylor FO of gates).

    score(c) = the mean over batches of (dL/dc)^2 for a gate c = 1 on every channel, behind its batch norm where it has
    one: the square of the sum of dL/dw * w over the scale and the shift of the norm, or, without a norm, over the
    weights and the bias that the channel is computed with. Coupled layers share their gates. The authors' program takes
    the gradients of training, with the statistics of each batch, and so does this; `--score_mode eval` takes the
    running ones.
    """

    score_mode = "train"

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The mean of the squared gradients of the gates."""
        found = gate_gradients(self.network, self.groups, self.loss, batches, self.score_mode, True)
        return mean_over_batches(
            {root: gradient.square() for root, gradient in gradients.items()} for gradients in found
        )
