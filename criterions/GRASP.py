"""Pruning that preserves the gradient flow."""

import argparse
from collections.abc import Iterable

from torch import Tensor

from utils.pruning.criterion import Criterion
from utils.pruning.saliency import Batch, hessian_gradient_product
from utils.ranges import number


class GRASP(Criterion):
    """Gradient signal preservation before training (Wang et al., 2020, "Picking Winning Tickets", equation 8).

    The paper removes the weights with the largest -w * Hg, g the gradient and H the Hessian of the mean loss over
    `--saliency_batches` batches, so score(w) = w * Hg, with its sign. Logits are divided by a temperature of 200, as in
    the authors' program. SNIP-it's program keeps the reversed set; `--invert_scores` does as it does.
    """

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the temperature."""
        help_text = "what GRASP divides the logits by (default: %(default)s)"
        parser.add_argument(
            "--grasp_temperature", type=number(float, 0, above=True), default=200.0, metavar="T", help=help_text
        )

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Weight * (Hessian @ gradient)."""
        temperature = self.arguments.grasp_temperature

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            return self.loss(logits / temperature, targets)

        products = hessian_gradient_product(self.network, loss, list(batches), self.weights)
        return {name: weight * products[name] for name, weight in self.weights.items()}
