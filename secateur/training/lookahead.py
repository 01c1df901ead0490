"""Slow weights that follow the fast ones of an optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from secateur.training.optimizers import parameters_of

#: The paper's alpha.
RATE = 0.5


class Lookahead:
    """Lookahead (Zhang et al., 2019, "Lookahead Optimizer: k steps forward, 1 step back", algorithm 1).

    Every `interval` steps of the optimizer, and at the end of an epoch, slow = slow + (fast - slow) / 2, and both go on
    from there: the paper's default. The optimizer keeps its moments. Where something else changes the network, as
    pruning and rewinding do, the slow weights begin anew (`restart`): they bring back nothing that was pruned. Between
    epochs they are the network's own, so that a run that goes on needs no others.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, interval: int) -> None:
        self.optimizer, self.interval = optimizer, interval
        #: Steps that the fast weights are ahead.
        self.steps = 0
        #: The slow weights; None where they begin at the next step.
        self.slow: list[Tensor] | None = None
        optimizer.register_step_pre_hook(self._before_step)
        optimizer.register_step_post_hook(self._after_step)

    def restart(self) -> None:
        """Begin anew from what the parameters are before the next step."""
        self.steps, self.slow = 0, None

    @torch.no_grad()
    def meet(self) -> None:
        """Let the slow weights follow, and the parameters be what they are then."""
        if self.slow is not None and self.steps:
            torch._foreach_lerp_(self.slow, parameters_of(self.optimizer), RATE)
            torch._foreach_copy_(parameters_of(self.optimizer), self.slow)
        self.steps = 0

    def _before_step(self, *_of_the_step: Any) -> None:
        if self.slow is None:
            self.slow = [parameter.detach().clone() for parameter in parameters_of(self.optimizer)]

    def _after_step(self, *_of_the_step: Any) -> None:
        self.steps += 1
        if self.steps == self.interval:
            self.meet()
