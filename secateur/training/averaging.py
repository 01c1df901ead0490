"""A moving average of parameters."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from secateur.utils.stateful import Stateful


class MovingAverage(Stateful):
    """An exponential moving average of parameters over the steps of training, free of the zeros it starts from.

    average = (1 - d) * sum over steps s of d^(t - s) * parameter_s / (1 - d^t), as Adam's moments (Kingma and Ba, 2015,
    section 3). Parameters: the decay d, in [0, 1); with 0 the average is the last step alone.
    """

    state_attrs = ("steps", "_sums")

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.steps = 0
        self._sums = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters after a step."""
        self.steps += 1
        torch._foreach_lerp_(self._sums, self.parameters, 1 - self.decay)

    @torch.no_grad()
    def write(self) -> None:
        """Give the parameters the values of their averages; before the first step they stay as they are."""
        if self.steps:
            torch._foreach_copy_(self.parameters, torch._foreach_div(self._sums, 1 - self.decay**self.steps))
