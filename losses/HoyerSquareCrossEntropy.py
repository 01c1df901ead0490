"""Cross-entropy with a penalty that makes weights sparse."""

from torch import Tensor

from losses.CrossEntropy import CrossEntropy


class HoyerSquareCrossEntropy(CrossEntropy):
    """Cross-entropy plus `--hoyer_reg` * the sum over layers of (sum |w|)^2 / sum w^2 (Yang et al., 2020, equation 3).

    The ratio lies between 1 (one weight is left) and the number of weights (all are alike), whatever their scale. A
    layer with a mask is left alone, and so is one whose weights are all zero; the penalty ends when the criterion
    HoyerSquare prunes.
    """

    reads = ("hoyer_reg",)
    remembers = ("has_pruned",)
    #: Whether the criterion has pruned, after which the term is left out, of layers that do not compete too.
    has_pruned = False

    def penalty(self) -> Tensor | None:
        """The norm terms of CrossEntropy and the Hoyer-Square term."""
        terms = [hoyer_square(weight) for name, weight in self.weights.items() if name not in self.masks.kept]
        norms = super().penalty()
        if self.has_pruned or not terms or not self.arguments.hoyer_reg:
            return norms
        hoyer = self.arguments.hoyer_reg * sum(terms)
        return hoyer if norms is None else hoyer + norms


def hoyer_square(weight: Tensor) -> Tensor:
    """(sum |w|)^2 / sum w^2, a scalar."""
    squares = weight.square().sum()
    return weight.abs().sum().square() / squares.clamp(min=1e-12)
