"""The usual loss of classification."""

from torch import Tensor
from torch.nn import functional

from secateur.config.option import option
from secateur.training.loss import Loss

#: Keeps the derivative of |w|^p finite at zero, where a power below 1 has none.
SMOOTHING = 1e-12


class CrossEntropy(Loss):
    """Cross-entropy, plus `--l1_reg` * sum |w| and `--lp_reg` * sum |w|^p over the prunable weights.

    In training `--label_smoothing` e puts 1 - e + e/K on the class of K and e/K on each other one (Szegedy et al.,
    2016, "Rethinking the Inception Architecture", section 7); criteria and tests look at the plain cross-entropy. The
    p-norm term is smoothed to (w^2 + 1e-12)^(p/2), so that a pruned weight has a gradient, which is zero.
    """

    title = "training"

    l1_reg: float = option(
        0.0,
        "penalty on the sum of |w|",
        low=0,
        metavar="FACTOR",
        suggested_for="l1 lasso",
    )
    lp_reg: float = option(0.0, "penalty on the sum of |w|^p", low=0, metavar="FACTOR")
    label_smoothing: float = option(
        0.0,
        "share of the target that training spreads over all classes",
        low=0,
        high=1,
        below=True,
        metavar="SHARE",
        only_training=True,
        suggested_for="smoothing smooth_labels ls",
    )
    lp_power: float = option(0.5, "power p of --lp_reg", low=0, above=True, metavar="P")

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of logits (N, K) against classes (N,)."""
        return functional.cross_entropy(logits, targets)

    def in_training(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy against smoothed targets; inputs (N, C, H, W) are not looked at."""
        if not self.label_smoothing:
            return self(logits, targets)
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect."""
        return {} if self.lp_reg else {"lp_power": "without --lp_reg"}

    def penalty(self) -> Tensor | None:
        """The norm terms, or None where both factors are 0."""
        terms = []
        if self.l1_reg:
            terms.append(self.l1_reg * sum(weight.abs().sum() for weight in self.weights.values()))
        if self.lp_reg:
            power = self.lp_power / 2
            terms.append(
                self.lp_reg * sum((weight.square() + SMOOTHING).pow(power).sum() for weight in self.weights.values())
            )
        return sum(terms) if terms else None
