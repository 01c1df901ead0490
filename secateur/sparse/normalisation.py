"""Batch norm of blocks of images (B, C, H, W, 16) or (B, F, 16) by the statistics of the batch, and its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from secateur.sparse import norm_kernels
from secateur.sparse.kernels import Job, address_of
from secateur.sparse.threads import run


def _run(kernel: Any, blocks: Tensor, eps: float, **fields: int) -> None:
    margin = torch.tensor([eps], dtype=torch.float32)
    job = Job(
        tasks=blocks.shape[1],
        blocks=len(blocks),
        width=blocks[0, 0].numel(),
        in_block=4 * blocks.stride(0),
        in_channel=4 * blocks.stride(1),
        inputs=blocks.data_ptr(),
        eps=margin.data_ptr(),
        **fields,
    )
    run(kernel, job)


def normalise(
    blocks: Tensor, weight: Tensor | None, bias: Tensor | None, added: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return relu(norm(blocks) + added), and the mean and the biased variance of each channel (C,).

    All tensors are contiguous; `relu` and `added` only where they are wanted.
    """
    outputs = torch.empty_like(blocks)
    means, variances = blocks.new_empty(blocks.shape[1]), blocks.new_empty(blocks.shape[1])
    _run(
        norm_kernels.normalise,
        blocks,
        eps,
        outputs=outputs.data_ptr(),
        gamma=address_of(weight),
        beta=address_of(bias),
        added=address_of(added),
        relu=int(relu),
        means=means.data_ptr(),
        variances=variances.data_ptr(),
    )
    return outputs, means, variances


def normalise_backward(
    gradients: Tensor,
    blocks: Tensor,
    weight: Tensor | None,
    means: Tensor,
    variances: Tensor,
    outputs: Tensor | None,
    eps: float,
    of_added: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return the gradients of blocks, weight, bias and what was added; `outputs` where a ReLU was part of them."""
    found, passed_on = torch.empty_like(blocks), torch.empty_like(blocks) if of_added else None
    of_weight, of_bias = torch.empty_like(means), torch.empty_like(means)
    gradients = gradients.contiguous()
    _run(
        norm_kernels.normalise_backward,
        blocks,
        eps,
        gradients=gradients.data_ptr(),
        outputs=address_of(blocks if outputs is None else outputs),
        relu=int(outputs is not None),
        gamma=address_of(weight),
        means=means.data_ptr(),
        variances=variances.data_ptr(),
        results=found.data_ptr(),
        weights=of_weight.data_ptr(),
        bias=of_bias.data_ptr(),
        added=address_of(passed_on),
    )
    return found, of_weight, of_bias, passed_on
