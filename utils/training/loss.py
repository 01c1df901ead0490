"""The base of every loss."""

from __future__ import annotations

import argparse

from torch import Tensor, nn


class Loss:
    """What is minimised: `loss(logits, targets)`, a function of the outputs, plus `penalty()`, one of the weights.

    Criteria and testers look at the first alone. Parameters: `weights`, the prunable ones by layer name; the
    `arguments` of the command line.
    """

    def __init__(self, weights: dict[str, nn.Parameter], arguments: argparse.Namespace) -> None:
        self.weights = weights
        self.arguments = arguments

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K) against classes (N,)."""
        raise NotImplementedError

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss in training, or None where there is nothing."""
        return None
