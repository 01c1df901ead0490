"""Single-shot pruning by connection sensitivity."""

from collections.abc import Iterable

from torch import Tensor

from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch, SaliencyLoss, mean_gradients


class SNIP(SaliencyLoss, Criterion):
    """Connection sensitivity before training (Lee et al., 2019, "SNIP", section 4, equations 5 and 6).

    score(w) = |dL/dw * w|, L the mean cross-entropy over `--saliency_batches` batches. The paper divides by the sum of
    all scores, which changes no rank. SNIP-it's program takes L = mean(-logit of the right class), without the softmax:
    `--saliency_loss nll_on_logits` does as it does. Norms take their running statistics, as in it and in the
    program of SNIP's authors (namhoonlee/snip-public).
    """

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient * weight|."""
        gradients = mean_gradients(self.network, self.measured_loss, batches, self.weights, self.score_mode)
        return {name: (gradients[name] * weight.detach()).abs() for name, weight in self.weights.items()}
