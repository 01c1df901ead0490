"""Statistics of the loss that scores are made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from secateur.config.option import Configurable, option
from secateur.parallel.collectives import shares, sum_over_processes
from secateur.utils.errors import UserError
from secateur.utils.modes import batch_statistics, evaluation_mode

Batch = tuple[Tensor, Tensor]
LossFunction = Callable[[Tensor, Tensor], Tensor]

#: What `--score_mode` can name.
SCORE_MODES = {"eval": evaluation_mode, "train": batch_statistics}


@contextlib.contextmanager
def scoring(network: nn.Module, mode: str) -> Iterator[None]:
    """Put a network into the mode in which it is scored, a name in SCORE_MODES, and leave it as it was.

    Raises `UserError` where a batch has too few values for statistics of its own.
    """
    try:
        with SCORE_MODES[mode](network), torch.enable_grad():
            yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"--score_mode {mode} takes the statistics of norms from each batch, and one has a single value a channel: "
            "give larger batches, or --score_mode eval"
        ) from error


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
    if not count:
        raise UserError("scores are computed on batches of training data, and there are none: give batches=")
    torch._foreach_div_(list(totals.values()), count)
    return totals


def batch_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], tensors: Mapping[str, Tensor], mode: str = "eval"
) -> Iterator[dict[str, Tensor]]:
    """Yield for each batch the gradient of its loss with respect to each tensor, the same on all processes.

    `mode` is that of the network meanwhile; see `scoring`.
    """
    for gradients in _own_gradients(network, loss, batches, tensors, mode):
        sum_over_processes(list(gradients.values()))
        yield gradients


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
    """
    means = mean_over_batches(_own_gradients(network, loss, batches, parameters, mode))
    sum_over_processes(list(means.values()))
    return means


def hessian_gradient_product(
    network: nn.Module,
    loss: LossFunction,
    batches: list[Batch],
    parameters: Mapping[str, nn.Parameter],
    mode: str = "eval",
) -> dict[str, Tensor]:
    """Return H @ g for each parameter: g the gradient and H the Hessian of the mean loss over `batches`, exactly.

    H and g are taken with respect to all of `parameters` together. One batch at a time is in memory: the first pass
    sums up g, the second differentiates <gradient of a batch, g>, whose sum over the batches is g^T H. `mode` is as in
    `mean_gradients`.
    """
    weights = list(parameters.values())

    def products() -> Iterator[dict[str, Tensor]]:
        for value in _own_losses(network, loss, batches, mode):
            first = torch.autograd.grad(value, weights, create_graph=True, materialize_grads=True)
            along = sum((one * direction).sum() for one, direction in zip(first, directions, strict=True))
            # Of a loss that is linear in the weights nothing is left to differentiate.
            second = (
                torch.autograd.grad(along, weights, materialize_grads=True)
                if along.requires_grad
                else [torch.zeros_like(weight) for weight in weights]
            )
            yield dict(zip(parameters, second, strict=True))

    with sdpa_kernel(SDPBackend.MATH):  # the other forms of attention have no second derivative
        directions = list(mean_gradients(network, loss, batches, parameters, mode).values())
        means = mean_over_batches(products())
    sum_over_processes(list(means.values()))
    return means


def _own_losses(network: nn.Module, loss: LossFunction, batches: Iterable[Batch], mode: str) -> Iterator[Tensor]:
    """Yield for each batch this process's share of its loss, a scalar to be differentiated."""
    with scoring(network, mode):
        for inputs, targets, share in shares(batches, whole=mode == "train"):
            yield share * loss(network(inputs), targets)


def _own_gradients(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], tensors: Mapping[str, Tensor], mode: str
) -> Iterator[dict[str, Tensor]]:
    for value in _own_losses(network, loss, batches, mode):
        # What the output does not depend on has no gradient, which is a zero one.
        gradients = torch.autograd.grad(value, list(tensors.values()), materialize_grads=True)
        yield dict(zip(tensors, gradients, strict=True))


class ScoreMode(Configurable):
    """What criteria that compute gradients have in common: `--score_mode`. Each has the default of its authors."""

    title = "scores by gradients"

    score_mode: str = option(
        "eval",
        "norms take their running statistics (eval) or those of each batch (train) while scores are computed; dropout "
        "is off in both",
        choices=("eval", "train"),
    )


class SaliencyLoss(ScoreMode):
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
