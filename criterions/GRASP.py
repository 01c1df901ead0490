"""Pruning that preserves the gradient flow."""

from collections.abc import Iterable

from torch import Tensor

from secateur.config.option import option
from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch, hessian_gradient_product


class GRASP(Criterion):
    """Gradient signal preservation before training (Wang et al., 2020, "Picking Winning Tickets", equation 8).

    The paper removes the weights with the largest -w * Hg, g the gradient and H the Hessian of the mean loss over
    `--saliency_batches` batches, so score(w) = w * Hg, with its sign. Logits are divided by a temperature of 200, as in
    the authors' program. SNIP-it's program keeps the reversed set; `--invert_scores` does as it does.
    """

    temperature: float = option(
        200.0, "what GRASP divides the logits by", low=0, above=True, flag="grasp_temperature", metavar="T"
    )

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Weight * (Hessian @ gradient)."""

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return self.loss(logits / self.temperature, targets)

        products = hessian_gradient_product(self.network, loss, list(batches), self.weights)
        return {name: weight.detach() * products[name] for name, weight in self.weights.items()}
