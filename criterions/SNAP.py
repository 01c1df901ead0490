"""Single-shot pruning of channels by the sensitivity of their gates."""

import argparse
from collections.abc import Iterable

from torch import Tensor

from criterions.SNIP import SNIP
from utils.pruning.gates import gate_gradients
from utils.pruning.saliency import Batch
from utils.pruning.structured import StructuredCriterion


class SNAP(StructuredCriterion):
    """Node sensitivity before training (Verdenius et al., 2020, "Pruning via Iterative Ranking", section 3.3).

    score(c) = |dL/dc| for a gate c = 1 on every channel, behind the bias and before the norm, L the mean loss over
    `--saliency_batches` batches. Coupled layers share their gates. The paper divides by L, which changes no rank.
    """

    saliency_loss = SNIP.saliency_loss

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the loss that sensitivity is measured on."""
        parser.add_argument(
            "--saliency_loss",
            choices=("loss", "nll_on_logits"),
            default="loss",
            help="measure the sensitivity of the training loss, or of SNIP-it's raw form (default: %(default)s)",
        )

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient of the gate|."""
        sums: dict[str, Tensor] = {}
        for gradients in gate_gradients(self.network, self.groups, self.saliency_loss, batches):
            sums = {root: gradient + sums.get(root, 0) for root, gradient in gradients.items()}
        return {root: total.abs() for root, total in sums.items()}
