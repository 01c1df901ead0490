"""Pruning by relative importance and activations."""

from torch import Tensor

from secateur.config.option import option
from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import LayerwiseCriterion


class RIA(LayerwiseCriterion):
    """Relative importance and activations (Zhang et al., 2024, "Plug-and-Play", section 3.1, equations 3 and 4).

    score(w_ij) = (|w_ij| / sum of its input's |w| + |w_ij| / sum of its output's |w|) * ||x_j||^a. Relative to both, no
    input or output loses all of its weights. All weights of a layer are compared.
    """

    ria_power: float = option(0.5, "power a of the input's norm", low=0, high=2)

    def matrix_scores(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """The relative importance times the power of the norm."""
        sizes = weight.abs()
        relative = sum(sizes / sizes.sum(dim, keepdim=True).clamp(min=1e-300) for dim in (1, 2))
        return relative * inputs.square.pow(self.ria_power / 2)[:, None]
