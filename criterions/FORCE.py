"""Iterative SNIP whose pruned weights may come back."""

from collections.abc import Iterable

from torch import Tensor

from secateur.criterions.SNIP import SNIP
from secateur.pruning.saliency import Batch, mean_gradients


class FORCE(SNIP):
    """Foresight connection sensitivity before training (de Jorge et al., 2021, "Progressive Skeletonization").

    score(w) = |dL/dw * w| with the gradient of the network as it is pruned by now and the weight as it was before, for
    pruned weights too, so that those that the sparse network misses come back. 60 exponential steps. Norms take the
    statistics of each batch, as in the authors' program; `--score_mode eval` takes the running ones. The
    program's loss has no softmax, which `--saliency_loss nll_on_logits` does; the paper's is that of training.
    """

    score_mode = "train"
    schedule = "exponential"
    snip_steps = 60
    regrowth = "value"

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient of the pruned network * weight of the dense one|."""
        gradients = mean_gradients(self.network, self.measured_loss, batches, self.weights, self.score_mode)
        return {name: (gradients[name] * weight).abs() for name, weight in self.dense_weights().items()}
