"""Single-shot pruning by connection sensitivity."""

import argparse
from collections.abc import Iterable

from torch import Tensor

from utils.pruning.criterion import Criterion
from utils.pruning.saliency import Batch, mean_gradients


class SNIP(Criterion):
    """Connection sensitivity before training (Lee et al., 2019, "SNIP", section 4, equations 5 and 6).

    score(w) = |dL/dw * w|, L the mean cross-entropy over `--saliency_batches` batches. The paper divides by the sum of
    all scores, which changes no rank. SNIP-it's program takes L = mean(-logit of the right class), without the softmax:
    `--saliency_loss nll_on_logits` does as it does.
    """

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the loss that sensitivity is measured on."""
        parser.add_argument(
            "--saliency_loss",
            choices=("loss", "nll_on_logits"),
            default="loss",
            help="measure the sensitivity of the training loss, or of SNIP-it's raw form (default: %(default)s)",
        )

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient * weight|."""
        gradients = mean_gradients(self.network, self.saliency_loss, batches, self.weights)
        return {name: (gradients[name] * weight).abs() for name, weight in self.weights.items()}

    def saliency_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss that `--saliency_loss` names."""
        raw = self.arguments.saliency_loss == "nll_on_logits"
        return minus_right_logit(logits, targets) if raw else self.loss(logits, targets)


def minus_right_logit(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean of minus the right class's logit, `nll_loss` without a softmax before it."""
    return -logits.gather(1, targets[:, None]).mean()
