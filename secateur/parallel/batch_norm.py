"""Batch normalisation by the statistics of a whole batch that several processes share.

torch's SyncBatchNorm computes the same, but on CUDA alone, and as layers of its own kind, which surgery and checkpoints
would have to know. Here the layers stay what they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from secateur.parallel.collectives import rank, size, sum_over_processes

_of_one_process = functional.batch_norm


@contextlib.contextmanager
def joint_batch_norm() -> Iterator[None]:
    """Let every batch norm that trains in this block take its mean and variance over all processes' samples.

    All processes must run the same layers in the same order, and so in the backward pass, which may come later; the
    loss there is the sum of what the processes have. What evaluates, by running statistics, is as ever.
    """
    if size() == 1:
        yield
        return
    functional.batch_norm = _batch_norm
    try:
        yield
    finally:
        functional.batch_norm = _of_one_process


@torch.compiler.disable
def _batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """What torch.nn.functional.batch_norm does, of inputs (B, C, ...)."""
    if not training:
        return _of_one_process(inputs, running_mean, running_var, weight, bias, training, momentum, eps)
    outputs, mean, variance, count = _Normalised.apply(inputs, weight, bias, eps)
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
        if running_var is not None:
            running_var.lerp_((variance * count / (count - 1)).to(running_var), momentum)
    return outputs


class _Normalised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias; returns mean, variance (C,) and count () too."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        numbers, channels = _exact(inputs), inputs.shape[1]
        here = torch.var_mean(numbers, _others(inputs), correction=0)
        rows = numbers.new_zeros(size(), 2 * channels + 1)
        rows[rank()] = torch.cat([*here, numbers.new_tensor([inputs.numel() // channels])])
        sum_over_processes([rows])
        variances, means, counts = rows.split([channels, channels, 1], 1)
        # Of parts to the whole (Chan et al., 1983), which does not lose digits as sums of squares would.
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean).square())).sum(0) / count
        slope = (variance + eps).rsqrt()
        outputs = (numbers - _along(mean, inputs)) * _along(slope if weight is None else slope * weight, inputs)
        if bias is not None:
            outputs += _along(bias, inputs)
        ctx.save_for_backward(inputs, weight, mean, slope, count)
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mean, variance, count)
        return outputs.to(inputs.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        inputs, weight, mean, slope, count = ctx.saved_tensors
        gradient, dims = _exact(gradient), _others(inputs)
        normalised = (_exact(inputs) - _along(mean, inputs)) * _along(slope, inputs)
        own = torch.stack([gradient.sum(dims), (gradient * normalised).sum(dims)])
        total = own.clone()
        sum_over_processes([total])
        shift, tilt = (total / count).unbind()
        back = gradient - _along(shift, inputs) - normalised * _along(tilt, inputs)
        back *= _along(slope if weight is None else slope * weight, inputs)
        to_bias, to_weight = own.unbind()
        return (
            back.to(inputs.dtype),
            None if weight is None else to_weight.to(weight.dtype),
            to_bias if ctx.has_bias else None,
            None,
        )


def _exact(numbers: Tensor) -> Tensor:
    """In float32 at the least."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def _others(inputs: Tensor) -> list[int]:
    """All dimensions but that of the channels."""
    return [0, *range(2, inputs.dim())]


def _along(values: Tensor, inputs: Tensor) -> Tensor:
    """Shape (C,) so that it broadcasts to inputs (B, C, ...)."""
    return values.view(-1, *[1] * (inputs.dim() - 2))
