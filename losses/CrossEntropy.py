"""The usual loss of classification."""

import argparse

from torch import Tensor
from torch.nn import functional

from utils.ranges import number
from utils.training.loss import Loss

#: Keeps the derivative of |w|^p finite at zero, where a power below 1 has none.
SMOOTHING = 1e-12


class CrossEntropy(Loss):
    """Cross-entropy, plus `--l1_reg` * sum |w| and `--lp_reg` * sum |w|^p over the prunable weights.

    The p-norm term is smoothed to (w^2 + 1e-12)^(p/2), so that a pruned weight has a gradient, which is zero.
    """

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the power of the p-norm term."""
        help_text = "the power p of --lp_reg (default: %(default)s)"
        parser.add_argument("--lp_power", type=number(float, 0, above=True), default=0.5, metavar="P", help=help_text)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of logits (N, K) against classes (N,)."""
        return functional.cross_entropy(logits, targets)

    def penalty(self) -> Tensor | None:
        """The norm terms, or None where both factors are 0."""
        flags = self.arguments
        terms = []
        if flags.l1_reg:
            terms.append(flags.l1_reg * sum(weight.abs().sum() for weight in self.weights.values()))
        if flags.lp_reg:
            power = flags.lp_power / 2
            terms.append(
                flags.lp_reg * sum((weight.square() + SMOOTHING).pow(power).sum() for weight in self.weights.values())
            )
        return sum(terms) if terms else None
