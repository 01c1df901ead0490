"""Pruning that preserves the gradient flow."""

from collections.abc import Iterable

from torch import Tensor

from secateur.config.option import option
from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import Batch, ScoreMode, hessian_gradient_product


class GRASP(ScoreMode, Criterion):
    """Gradient signal preservation before training (Wang et al., 2020, "Picking Winning Tickets", equation 8).

    The paper removes the weights with the largest -w * Hg, g the gradient and H the Hessian of the mean loss over
    `--saliency_batches` batches, so score(w) = w * Hg, with its sign. Logits are divided by a temperature of 200, as in
    the authors' program.

    Norms take the statistics of each batch, as there: at initialisation the running ones switch them off. The program
    looks at 10 images of each class, which is `--saliency_batches 1 --samples_per_class 10`. Synaptic-Flow's program
    takes running statistics, `--score_mode eval`; so does SNIP-it's, which keeps the reversed set, `--invert_scores`.
    """

    score_mode = "train"
    temperature: float = option(
        200.0, "temperature by which GRASP divides the logits", low=0, above=True, flag="grasp_temperature", metavar="T"
    )

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Weight * (Hessian @ gradient)."""

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return self.loss(logits / self.temperature, targets)

        products = hessian_gradient_product(self.network, loss, list(batches), self.weights, self.score_mode)
        return {name: weight.detach() * products[name] for name, weight in self.weights.items()}
