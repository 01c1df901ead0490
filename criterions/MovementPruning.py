"""Pruning of the weights that training moves towards zero."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.criterions.GradualMagnitude import GradualMagnitude
from secateur.pruning.saliency import Batch


class MovementPruning(GradualMagnitude):
    """Movement pruning (Sanh et al., 2020, "Movement Pruning", section 4, equation 1, hard form).

    score(w) = -sum over training steps of dL/dw * w: weights that grow away from zero stay. The gradient is that of the
    masked network, and w of a pruned weight is the value that it had when it was pruned, with which it comes back once
    it scores high enough (the paper's straight-through estimator). Scores add up from the first step on; before
    it |w| counts. All layers are ranked together; the authors' program ranks each by itself, `--distribution uniform`,
    and moves scores by an optimizer of their own.
    """

    regrowth = "value"
    state_attrs = ("total",)
    needs_dense_gradients = True
    total: dict[str, Tensor] | None = None

    @torch.no_grad()
    def after_backward(self, gradients: dict[str, Tensor]) -> None:
        """Take in the movement of one step."""
        dense = self.dense_weights()
        if self.total is None:
            self.total = {name: torch.zeros_like(weight) for name, weight in dense.items()}
        names = [name for name in self.weights if name in gradients]
        torch._foreach_addcmul_(
            [self.total[name] for name in names],
            [gradients[name] for name in names],
            [dense[name] for name in names],
            value=-1,
        )

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The movement so far; before any, |weight|."""
        return self.total or super().scores(batches)
