"""Pruning of channels by the first-order change of the loss."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.gates import gate_gradients
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class TaylorFO(StructuredCriterion):
    """First-order Taylor importance (Molchanov et al., 2019, "Importance Estimation", equations 8 and 11).

    score(c) = the mean over batches of (sum of dL/dw * w over the weights and the bias of channel c)^2, which is the
    square of the gradient of a gate on the channel.
    """

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The mean of the squared gradients of the gates."""
        sums: dict[str, Tensor] = {}
        count = 0
        for gradients in gate_gradients(self.network, self.groups, self.loss, batches):
            sums = {root: gradient.square() + sums.get(root, 0) for root, gradient in gradients.items()}
            count += 1
        return {root: total / count for root, total in sums.items()}
