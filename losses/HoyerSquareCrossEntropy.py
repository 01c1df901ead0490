"""Cross-entropy with a penalty that makes weights sparse."""

from collections.abc import Iterable

from torch import Tensor

from secateur.training.hoyer import HoyerPenalty


class HoyerSquareCrossEntropy(HoyerPenalty):
    """Cross-entropy plus `--hoyer_reg` * the sum over layers of (sum |w|)^2 / sum w^2 (Yang et al., 2020, equation 3).

    The ratio lies between 1 (one weight is left) and the number of weights (all are alike), whatever their scale. A
    layer with a mask is left alone, and so is one whose weights are all zero; the penalty ends when the criterion
    HoyerSquare prunes.
    """

    def terms(self) -> Iterable[Tensor]:
        """Hoyer-Square of each weight without a mask."""
        return [hoyer_square(weight) for name, weight in self.weights.items() if name not in self.masks.kept]


def hoyer_square(weight: Tensor) -> Tensor:
    """(sum |w|)^2 / sum w^2, a scalar."""
    squares = weight.square().sum()
    return weight.abs().sum().square() / squares.clamp(min=1e-12)
