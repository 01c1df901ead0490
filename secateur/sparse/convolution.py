"""Convolutions of blocks of images (B, C, H, W, 16) that skip the weights that are zero."""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from secateur.sparse.kernels import Job, address_of, convolve, convolve_planes
from secateur.sparse.lists import PlaneWalk, Walk
from secateur.sparse.threads import number_of_threads, run, run_jobs
from secateur.sparse.vectors import LANES, WIDE

_held = threading.local()


def _aligned(length: int) -> int:
    """The address of memory for so many bytes, which is this thread's until the next call."""
    held = getattr(_held, "scratch", None)
    if held is None or held.numel() < length + WIDE:
        held = _held.scratch = torch.empty(length + WIDE, dtype=torch.uint8)
    return -(-held.data_ptr() // WIDE) * WIDE


#: Vector operations that take less time than it takes to wake another thread.
_LITTLE = 1 << 16


def _run_blocks(walk: Walk, blocks: int, bands: int, parts: int, **fields: Any) -> None:
    tasks = blocks * bands * parts
    job = walk.job
    work = blocks * (len(walk.places) * job.out_height * job.out_width + job.channels * job.height * job.width)
    threads = 1 if work < _LITTLE else min(number_of_threads(), tasks)
    scratch = _aligned(threads * walk.scratch_bytes)
    run(convolve, job.filled(tasks=tasks, bands=bands, parts=parts, scratch=scratch, **fields), threads)


def _strides(tensor: Tensor, names: tuple[str, ...]) -> dict[str, int]:
    return {name: 4 * stride for name, stride in zip(names, tensor.stride(), strict=False)}


_IN, _OUT = ("in_block", "in_channel", "in_row", "in_column"), ("out_block", "out_channel", "out_row", "out_column")


def _split(blocks: int, rows: int, tasks: int) -> tuple[int, int]:
    """Into how many bands of rows, or else parts of the channels, work is split to make so many tasks."""
    if blocks % tasks == 0:
        return 1, 1
    bands = min(rows, -(-2 * tasks // blocks))
    return bands, (1 if blocks * bands >= tasks else -(-tasks // (blocks * bands)))


def convolve_blocks(
    walk: Walk,
    inputs: Tensor,
    weights: Tensor,
    outputs: Tensor,
    bias: Tensor | None = None,
    added: Tensor | None = None,
    relu: bool = False,
) -> None:
    """Write to `outputs` (B, O, H', W', 16) the convolution of `inputs` (B, C, H, W, 16), both with any strides.

    Parameters: `weights`, those of the walk's list in its order, float32; `bias` (O,); `added`, like the outputs and
    with their strides; `relu` last of all.
    """
    bands, parts = _split(len(inputs), walk.rows.outputs, number_of_threads())
    _run_blocks(
        walk,
        len(inputs),
        bands,
        parts,
        inputs=inputs.data_ptr(),
        outputs=outputs.data_ptr(),
        weights=weights.data_ptr(),
        bias=address_of(bias),
        added=address_of(added),
        relu=int(relu),
        **_strides(inputs, _IN),
        **_strides(outputs, _OUT),
    )


class PlaneJobs:
    """Layers of images as they are, (N, C, H, W), contiguous, computed one after the other in one call of the kernel.

    Parameters: `walks`, one for each layer; `number`, how many images.
    """

    def __init__(self, walks: Sequence[PlaneWalk], number: int) -> None:
        self.walks, self.number, self.threads = list(walks), number, number_of_threads()
        parts = -(-4 * self.threads // number)
        fields = {"parts": parts, "tasks": number * parts}
        steps = [walk.job.filled(copying=copying, **fields) for walk in walks for copying in (1, 0)]
        steps[0].jobs = len(steps)
        self._steps = (Job * len(steps))(*steps)
        self._planes = max(walk.image_bytes for walk in walks) * number + WIDE * 8
        self._results = max(walk.results_bytes for walk in walks)

    def fit(self, walks: Sequence[PlaneWalk], number: int) -> bool:
        """Whether they are those of these layers and so many images."""
        same = len(walks) == len(self.walks) and all(map(operator.is_, walks, self.walks))
        return same and (number, number_of_threads()) == (self.number, self.threads)

    def run(self, layers: Iterable[tuple[int, int, int, int, int, bool]]) -> None:
        """Compute; of each layer are given the addresses of inputs, outputs, weights, bias and what is added; and ReLU.

        An address is 0 where there is no such thing.
        """
        steps = type(self._steps).from_buffer_copy(self._steps)  # several threads may run the same
        scratch = _aligned(self._planes + self.threads * self._results)
        for place, (inputs, *rest) in enumerate(layers):
            copying, computing = steps[2 * place], steps[2 * place + 1]
            copying.inputs, copying.scratch = inputs, scratch
            computing.outputs, computing.weights, computing.bias, computing.added, computing.relu = rest
            computing.scratch, computing.results = scratch, scratch + self._planes
        run_jobs(convolve_planes, steps)


def weight_gradients(walk: Walk, inputs: Tensor, gradients: Tensor) -> Tensor:
    """Return the gradients of the weights of a forward walk, in its order, from those of the outputs."""
    blocks = len(inputs)
    bands, parts = _split(
        blocks, walk.rows.outputs, 8
    )  # by the shape alone, as the order of sums decides the last bits
    sums = torch.zeros(blocks * bands, len(walk.places))
    _run_blocks(
        walk,
        blocks,
        bands,
        parts,
        weight_gradients=1,
        inputs=inputs.data_ptr(),
        outputs=gradients.data_ptr(),
        weights=sums.data_ptr(),
        **_strides(inputs, _IN),
        **_strides(gradients, _OUT),
    )
    return sums.sum(0)


def to_blocks(images: Tensor) -> Tensor:
    """Images (N, C, H, W), or features (N, F), as blocks (ceil(N / 16), C, H, W, 16) or (ceil(N / 16), F, 16)."""
    missing = -len(images) % LANES
    if missing:
        images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
    return images.reshape(-1, LANES, *images.shape[1:]).movedim(1, -1).contiguous()


def from_blocks(blocks: Tensor, number: int) -> Tensor:
    """The first `number` images of blocks, as (N, C, H, W) or (N, F)."""
    return blocks.movedim(-1, 1).flatten(0, 1)[:number].contiguous()
