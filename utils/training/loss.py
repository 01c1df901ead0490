"""The base of every loss."""

from __future__ import annotations

import argparse

from torch import Tensor

from utils.pruning.masks import Masks
from utils.remembering import Remembering


class Loss(Remembering):
    """What is minimised: `loss(logits, targets)`, a function of the outputs, plus `penalty()`, one of the weights.

    Criteria and testers look at the first alone. Parameters: the `masks` of the network; the `arguments` of the command
    line.
    """

    #: Of the flags that only some losses read, those that this one does.
    reads: tuple[str, ...] = ()

    def __init__(self, masks: Masks, arguments: argparse.Namespace) -> None:
        self.masks = masks
        #: The prunable weights, by layer name.
        self.weights = masks.weights
        self.arguments = arguments

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K) against classes (N,)."""
        raise NotImplementedError  # each loss is another formula

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss in training, or None where there is nothing."""
        return None
