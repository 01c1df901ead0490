"""Statistics of the loss that scores are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.config.option import Configurable, option
from secateur.parallel.collectives import shares, sum_over_processes
from secateur.utils.modes import evaluation_mode

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]

#: So many images go through the network at a time: what it keeps of them for the gradients takes memory.
MICRO_BATCH = 64


def micro_batches(network: nn.Module, inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield a batch, inputs (B, ...) and targets (B,), in equal parts, each with the fraction of the batch that it is.

    The gradient of a mean over the batch is the sum of those of its parts times these fractions, but for rounding, as
    long as images do not mix in the network. In training mode they do (batch norm, and dropout draws by the batch), and
    in a batch norm without running statistics: the batch is whole then.
    """
    mixes = any(
        module.training or (isinstance(module, _BatchNorm) and module.running_mean is None)
        for module in network.modules()
    )
    parts = 1 if mixes or not isinstance(targets, Tensor) else max(math.ceil(len(targets) / MICRO_BATCH), 1)
    if parts == 1:
        yield inputs, targets, 1.0
        return
    for some_inputs, some_targets in zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True):
        yield some_inputs, some_targets, len(some_targets) / len(targets)


def mean_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over `batches` with respect to each parameter.

    The network is in evaluation mode meanwhile (running statistics, no dropout), in float32, and is left as it was.
    Several processes, which all have the batches, share the work. Batches go through the network in `micro_batches`:
    `loss(logits, targets)` is a mean over the images.
    """
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count = 0
    with evaluation_mode(network), torch.enable_grad():
        for inputs, targets, share in shares(batches):
            for some, their_targets, fraction in micro_batches(network, inputs, targets):
                value = share * fraction * loss(network(some), their_targets)
                # A parameter that the output does not depend on has no gradient, which is a zero one. With a name the
                # gradients would still be there beside those of the next part.
                torch._foreach_add_(
                    list(totals.values()),
                    torch.autograd.grad(value, list(parameters.values()), materialize_grads=True),
                )
            count += 1
    sum_over_processes(list(totals.values()))
    torch._foreach_div_(list(totals.values()), max(count, 1))
    return totals


def hessian_gradient_product(
    network: nn.Module, loss: LossFunction, batches: list[Batch], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """Return H @ g for each parameter: g the gradient and H the Hessian of the mean loss over `batches`, exactly.

    H and g are taken with respect to all of `parameters` together. A part of a batch at a time is in memory: the first
    pass sums up g, the second differentiates <gradient of a part, g>, whose sum over all parts is g^T H.
    """
    gradients = mean_gradients(network, loss, batches, parameters)
    weights, directions = list(parameters.values()), list(gradients.values())
    totals = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    with evaluation_mode(network), torch.enable_grad():
        for inputs, targets, share in shares(batches):
            for some, their_targets, fraction in micro_batches(network, inputs, targets):
                # What a part leaves must be gone when the next goes through the network: nothing of it has a name here.
                torch._foreach_add_(
                    list(totals.values()),
                    _second_derivative(share * fraction * loss(network(some), their_targets), weights, directions),
                )
    sum_over_processes(list(totals.values()))
    torch._foreach_div_(list(totals.values()), max(len(batches), 1))
    return totals


def _second_derivative(value: Tensor, weights: list[nn.Parameter], directions: list[Tensor]) -> Sequence[Tensor]:
    """The gradient of <gradient of `value`, `directions`>."""
    first = torch.autograd.grad(value, weights, create_graph=True, materialize_grads=True)
    along = sum((one * direction).sum() for one, direction in zip(first, directions, strict=True))
    if not along.requires_grad:  # of what is linear in the weights nothing is left to differentiate
        return [torch.zeros_like(weight) for weight in weights]
    return torch.autograd.grad(along, weights, materialize_grads=True)


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
