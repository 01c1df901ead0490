"""Statistics of the loss that scores are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from utils.modes import evaluation_mode

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]


def mean_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over `batches` with respect to each parameter.

    The network is in evaluation mode meanwhile (running statistics, no dropout), in float32, and is left as it was.
    """
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count = 0
    with evaluation_mode(network), torch.enable_grad():
        for inputs, targets in batches:
            value = loss(network(inputs), targets)
            # A parameter that the output does not depend on has no gradient, which is a zero one.
            gradients = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
            torch._foreach_add_(list(totals.values()), gradients)
            count += 1
    torch._foreach_div_(list(totals.values()), max(count, 1))
    return totals
