"""Cross-entropy with a penalty that makes whole channels small."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.training.hoyer import HoyerPenalty


class GroupHoyerSquareCrossEntropy(HoyerPenalty):
    """Cross-entropy plus `--hoyer_reg` * the Group-HS term of each layer (Yang et al., 2020, "DeepHoyer", section 4.2).

    The term is Hoyer-Square of the norms of a weight's columns, what goes out of one channel, and of its rows, what
    goes into one: ((sum over inputs of ||W[:, i]||)^2 + (sum over outputs of ||W[o]||)^2) / ||W||^2. Each of the two
    ratios lies between 1 (one channel is left) and the number of channels, whatever the scale. The penalty ends when
    the criterion GroupHoyerSquare prunes.
    """

    def terms(self) -> Iterable[Tensor]:
        """Group-HS of each weight."""
        return [group_hoyer_square(weight) for weight in self.weights.values()]


def group_hoyer_square(weight: Tensor) -> Tensor:
    """((sum of the columns' norms)^2 + (sum of the rows' norms)^2) / ||W||^2 of a weight (O, I, ...), a scalar."""
    kernels = weight.flatten(2) if weight.dim() > 2 else weight.unsqueeze(2)  # (O, I, K)
    rows = torch.linalg.vector_norm(kernels, dim=(1, 2))
    columns = torch.linalg.vector_norm(kernels, dim=(0, 2))  # of a channel that is zero the gradient is zero too
    return (columns.sum().square() + rows.sum().square()) / weight.square().sum().clamp(min=1e-12)
