"""The base of every loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from secateur.config.option import Configurable
from secateur.pruning.masks import Masks
from secateur.utils.stateful import Stateful


class Loss(Configurable, Stateful):
    """What is minimised: `loss(logits, targets)`, a function of the outputs, plus `penalty()`, one of the weights.

    Criteria and testers look at the first alone. Parameters: the `masks` of the network, and the values of options.
    """

    def __init__(self, masks: Masks, **options: Any) -> None:
        super().__init__(**options)
        self.masks = masks
        #: The prunable weights, by layer name.
        self.weights = masks.weights

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K) against classes (N,)."""
        raise NotImplementedError  # each loss is another formula

    def in_training(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Return what training minimises, where that looks at the inputs (N, C, H, W) too; by default the loss."""
        return self(logits, targets)

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss in training, or None where there is nothing."""
        return None
