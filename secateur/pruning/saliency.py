"""Statistics of the loss that scores are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from secateur.config.option import Configurable, option
from secateur.parallel.collectives import shares, sum_over_processes
from secateur.utils.modes import evaluation_mode, trainable

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]


def mean_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over `batches` with respect to each parameter.

    The network is in evaluation mode meanwhile (running statistics, no dropout), in float32, and is left as it was.
    Several processes, which all have the batches, share the work.
    """
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count = 0
    with evaluation_mode(network), trainable(parameters.values()), torch.enable_grad():
        for inputs, targets, share in shares(batches):
            value = share * loss(network(inputs), targets)
            # A parameter that the output does not depend on has no gradient, which is a zero one.
            gradients = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
            torch._foreach_add_(list(totals.values()), gradients)
            count += 1
    sum_over_processes(list(totals.values()))
    torch._foreach_div_(list(totals.values()), max(count, 1))
    return totals


def hessian_gradient_product(
    network: nn.Module, loss: LossFunction, batches: list[Batch], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return H @ g for each parameter: g the gradient and H the Hessian of the mean loss over `batches`, exactly.

    H and g are taken with respect to all of `parameters` together. One batch at a time is in memory: the first pass
    sums up g, the second differentiates <gradient of a batch, g>, whose sum over the batches is g^T H.
    """
    gradients = mean_gradients(network, loss, batches, parameters)
    weights, directions = list(parameters.values()), list(gradients.values())
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    with evaluation_mode(network), trainable(parameters.values()), torch.enable_grad():
        for inputs, targets, share in shares(batches):
            value = share * loss(network(inputs), targets)
            first = torch.autograd.grad(value, weights, create_graph=True, materialize_grads=True)
            along = sum((one * direction).sum() for one, direction in zip(first, directions, strict=True))
            # Of a loss that is linear in the weights nothing is left to differentiate.
            second = (
                torch.autograd.grad(along, weights, materialize_grads=True)
                if along.requires_grad
                else [torch.zeros_like(weight) for weight in weights]
            )
            torch._foreach_add_(list(totals.values()), second)
    sum_over_processes(list(totals.values()))
    torch._foreach_div_(list(totals.values()), max(len(batches), 1))
    return totals


class SaliencyLoss(Configurable):
    """What criteria of sensitivity have in common: `--saliency_loss`."""

    title = "sensitivity (SNIP, SNAP and what is made of them)"

    saliency_loss: str = option(
        "loss",
        "measure the sensitivity of the training loss, or of SNIP-it's raw form, the mean of -logit of the right class",
        choices=("loss", "nll_on_logits"),
    )

    def measured_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that `--saliency_loss` names, a scalar, of logits (N, K) and classes (N,)."""
        if self.saliency_loss == "nll_on_logits":
            return -logits.gather(1, targets[:, None]).mean()  # `nll_loss` without a softmax before it
        return self.loss(logits, targets)
