"""Statistics of the loss that scores are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.config.option import Configurable, option
from secateur.parallel.collectives import shares, sum_over_processes
from secateur.utils.errors import UserError
from secateur.utils.modes import batch_statistics, evaluation_mode, trainable

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]

#: What `--score_mode` can name.
SCORE_MODES = {"eval": evaluation_mode, "train": batch_statistics}
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


def mean_over_batches(values: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of what each batch gives, by name: a batch that is repeated changes nothing.

    Raises `UserError` where there is no batch.
    """
    totals: dict[str, Tensor] = {}
    count = 0
    for found in values:
        totals = totals or {name: torch.zeros_like(value) for name, value in found.items()}
        torch._foreach_add_(list(totals.values()), list(found.values()))
        count += 1
    return _divided(totals, count)


def batch_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], tensors: Mapping[str, Tensor], mode: str = "eval"
) -> Iterator[dict[str, Tensor]]:
    """Yield for each batch the gradient of its loss with respect to each tensor, the same on all processes.

    `mode` is that of the network meanwhile, a name in SCORE_MODES, which is left as it was.
    """
    for parts in _losses(network, loss, batches, tensors, mode):
        totals = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        _add_derivatives(totals, parts, tensors, _first_derivative)
        sum_over_processes(list(totals.values()))
        yield totals


def mean_gradients(
    network: nn.Module,
    loss: LossFunction,
    batches: Iterable[Batch],
    parameters: Mapping[str, nn.Parameter],
    mode: str = "eval",
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over `batches` with respect to each parameter.

    The network is in float32 and without dropout meanwhile, and is left as it was; its norms take running statistics,
    or with the `mode` "train" those of each batch. Several processes, which all have the batches, share the work.
    Batches go through the network in `micro_batches`: `loss(logits, targets)` is a mean over the images.
    """
    return _mean_derivatives(network, loss, batches, parameters, mode, _first_derivative)


def hessian_gradient_product(
    network: nn.Module,
    loss: LossFunction,
    batches: list[Batch],
    parameters: Mapping[str, nn.Parameter],
    mode: str = "eval",
) -> dict[str, Tensor]:
    """Return H @ g for each parameter: g the gradient and H the Hessian of the mean loss over `batches`, exactly.

    H and g are taken with respect to all of `parameters` together. A part of a batch at a time is in memory: the first
    pass sums up g, the second differentiates <gradient of a part, g>, whose sum over all parts is g^T H. `mode` is as
    in `mean_gradients`.
    """
    with sdpa_kernel(SDPBackend.MATH):  # the other forms of attention have no second derivative
        directions = list(mean_gradients(network, loss, batches, parameters, mode).values())

        def second_derivative(value: Tensor, weights: list[Tensor]) -> Sequence[Tensor]:
            first = torch.autograd.grad(value, weights, create_graph=True, materialize_grads=True)
            along = sum((one * direction).sum() for one, direction in zip(first, directions, strict=True))
            if not along.requires_grad:  # of what is linear in the weights nothing is left to differentiate
                return [torch.zeros_like(weight) for weight in weights]
            return torch.autograd.grad(along, weights, materialize_grads=True)

        return _mean_derivatives(network, loss, batches, parameters, mode, second_derivative)


def _losses(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], tensors: Mapping[str, Tensor], mode: str
) -> Iterator[Iterator[Tensor]]:
    """Yield for each batch this process's share of its loss, as scalars to be differentiated by the tensors."""
    with SCORE_MODES[mode](network), trainable(tensors.values()), torch.enable_grad():
        for inputs, targets, share in shares(batches, whole=mode == "train"):
            yield (
                share * fraction * loss(_outputs(network, some, mode), their_targets)
                for some, their_targets, fraction in micro_batches(network, inputs, targets)
            )


def _outputs(network: nn.Module, inputs: Tensor, mode: str) -> Tensor:
    try:
        return network(inputs)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"--score_mode {mode} takes the statistics of norms from each batch, and one has a single value a channel: "
            "give larger batches, or --score_mode eval"
        ) from error


#: Returns the derivative of a scalar with respect to each of some tensors.
Derivative = Callable[[Tensor, list[Tensor]], Sequence[Tensor]]


def _first_derivative(value: Tensor, tensors: list[Tensor]) -> Sequence[Tensor]:
    # What the output does not depend on has no gradient, which is a zero one.
    return torch.autograd.grad(value, tensors, materialize_grads=True)


def _add_derivatives(
    totals: dict[str, Tensor], parts: Iterator[Tensor], tensors: Mapping[str, Tensor], derivative: Derivative
) -> None:
    for value in parts:
        # With a name the derivatives would still be there beside those of the next part, as its graph would.
        torch._foreach_add_(list(totals.values()), derivative(value, list(tensors.values())))
        del value


def _mean_derivatives(
    network: nn.Module,
    loss: LossFunction,
    batches: Iterable[Batch],
    tensors: Mapping[str, Tensor],
    mode: str,
    derivative: Derivative,
) -> dict[str, Tensor]:
    """The mean over the batches, summed up in place: large networks have no room for a batch's own."""
    totals = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    count = 0
    for parts in _losses(network, loss, batches, tensors, mode):
        _add_derivatives(totals, parts, tensors, derivative)
        count += 1
    sum_over_processes(list(totals.values()))
    return _divided(totals, count)


def _divided(totals: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    if not count:
        raise UserError("scores are computed on batches of training data, and there are none: give batches=")
    torch._foreach_div_(list(totals.values()), count)
    return totals


class ScoreMode(Configurable):
    """What criteria that compute gradients have in common: `--score_mode`. Each has the default of its authors."""

    title = "scores by gradients"

    score_mode: str = option(
        "eval",
        "while scores are computed, norms use their running statistics (eval) or those of each batch (train); dropout "
        "is off in both",
        choices=("eval", "train"),
    )


class SaliencyLoss(ScoreMode):
    """What criteria of sensitivity have in common: `--saliency_loss`."""

    title = "connection sensitivity (SNIP, SNAP and their variants)"

    saliency_loss: str = option(
        "loss",
        "loss whose sensitivity is measured: the training loss, or SNIP-it's raw form, the mean of -logit of the "
        "correct class",
        choices=("loss", "nll_on_logits"),
    )

    def measured_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that `--saliency_loss` names, a scalar, of logits (N, K) and classes (N,)."""
        if self.saliency_loss == "nll_on_logits":
            return -logits.gather(1, targets[:, None]).mean()  # `nll_loss` without a softmax before it
        return self.loss(logits, targets)
