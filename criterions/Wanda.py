"""Pruning by weights and activations."""

from torch import Tensor

from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import LayerwiseCriterion


class Wanda(LayerwiseCriterion):
    """Weights and activations (Sun et al., 2024, "A Simple and Effective Pruning Approach", section 3, equation 1).

    score(w) = |w| * ||x||, x the input that the weight is multiplied by, over the calibration batches; of a convolution
    the unfolded input at the weight's place of the kernel. The weights of each output are compared, the same share of
    each goes, and no other weight changes. The norm is divided by the square root of the number of rows, which changes
    no rank within a layer.
    """

    compared = "output"

    def matrix_scores(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """|weight| * the root of the mean square of its input."""
        return weight.abs() * inputs.square.sqrt()[:, None]
