"""Single-shot pruning of channels by the sensitivity of their gates."""

from collections.abc import Iterable

from torch import Tensor

from secateur.channels.gates import gate_gradients
from secateur.pruning.saliency import Batch, SaliencyLoss, mean_over_batches
from secateur.pruning.structured import StructuredCriterion


class SNAP(SaliencyLoss, StructuredCriterion):
    """Sensitivity of units before training (Verdenius et al., 2020, "Pruning via Iterative Ranking", section 3.3).

    score(c) = |dL/dc| for a gate c = 1 on every channel, behind the bias and before the norm, L the mean loss over
    `--saliency_batches` batches. Coupled layers share their gates. The paper divides by L, which changes no rank. Norms
    take their running statistics, as in the authors' program; with those of each batch, `--score_mode train`, which
    undo what is multiplied before them, the gates are behind them.
    """

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient of the gate|."""
        mode = self.score_mode
        gradients = gate_gradients(self.network, self.groups, self.measured_loss, batches, mode, mode == "train")
        return {root: mean.abs() for root, mean in mean_over_batches(gradients).items()}
