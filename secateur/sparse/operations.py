"""Batch norm and pooling of blocks of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.normalisation import normalise, normalise_backward
from secateur.sparse.vectors import LANES


class _Normalised(torch.autograd.Function):
    """relu(norm(blocks) + added) by the statistics of a batch that fills its blocks, with all its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        blocks: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        added: Tensor | None,
        eps: float,
        relu: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs, means, variances = normalise(blocks, weight, bias, added, eps, relu)
        ctx.eps, ctx.has_bias = eps, bias is not None
        ctx.save_for_backward(blocks, weight, means, variances, outputs if relu else None)
        ctx.mark_non_differentiable(means, variances)
        return outputs, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        blocks, weight, means, variances, outputs = ctx.saved_tensors
        of_added = ctx.needs_input_grad[3]
        found = normalise_backward(gradients, blocks, weight, means, variances, outputs, ctx.eps, of_added)
        of_blocks, of_weight, of_bias, of_sum = found
        return of_blocks, None if weight is None else of_weight, of_bias if ctx.has_bias else None, of_sum, None, None


class Norm(nn.Module):
    """A batch norm, with its parameters and its statistics, of images or of blocks (B, C, H, W, 16) or (B, F, 16).

    What is added follows it, then ReLU if `relu`.
    """

    def __init__(self, norm: nn.Module, relu: bool = False) -> None:
        super().__init__()
        self.__dict__["norm"] = norm  # not as a sub-module: it belongs to the network that is executed
        self.relu = relu

    def forward(self, features: Tensor, added: Tensor | None = None, *, number: int | None = None) -> Tensor:
        """Normalise; of blocks `number` images: the last block may have room for more, which must not count."""
        norm = self.norm
        if number is not None and norm.training and norm.track_running_stats and number % LANES == 0:
            return self._of_batch(features.contiguous(), added, number)
        if number is None:
            found = norm(features)
        elif number % LANES and (norm.training or not norm.track_running_stats):
            found = to_blocks(norm(from_blocks(features, number)))
        else:
            found = norm(features.flatten(3) if features.dim() == 5 else features).view(features.shape)
        found = found if added is None else found + added
        return functional.relu(found) if self.relu else found

    def _of_batch(self, blocks: Tensor, added: Tensor | None, number: int) -> Tensor:
        norm = self.norm
        added = None if added is None else added.contiguous()
        outputs, means, variances = _Normalised.apply(blocks, norm.weight, norm.bias, added, norm.eps, self.relu)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            count = blocks.numel() // blocks.shape[1]
            norm.running_mean.lerp_(means, momentum)
            norm.running_var.lerp_(variances * (count / (count - 1)), momentum)
        return outputs


class BlockPooling(nn.Module):
    """A pooling over rows and columns of blocks (B, C, H, W, 16), to which they are images (B C, 16, H, W)."""

    def __init__(self, pooling: Callable[..., Tensor]) -> None:
        super().__init__()
        self.__dict__["pooling"] = pooling

    def forward(self, blocks: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        """Pool blocks."""
        images = blocks.flatten(0, 1).permute(0, 3, 1, 2)
        found = self.pooling(images, *arguments, **keywords).permute(0, 2, 3, 1)
        return found.unflatten(0, blocks.shape[:2]).contiguous()
