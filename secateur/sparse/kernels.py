"""The loops around `vectors`: convolutions of blocks of images by lists of the weights that are there.

Images stand in blocks of 16, one float of each side by side: (blocks, C, H, W, 16). A thread copies the rows that an
output row needs into a ring of its own, which stays in its cache: (slots, C, columns, 16) with the zeros of the
padding; padded row r is in slot r mod slots. There a weight is one offset. With a horizontal stride of s, columns 0, s,
2s, ... stand side by side, then 1, s + 1, ..., so that neighbouring outputs read neighbouring vectors.

One image, or a few, are computed as they are, (N, C, H, W): planes with their padding stand side by side in memory that
all threads share, split by the remainders of rows and columns by the stride, and a vector is 16 neighbouring outputs of
the flattened plane. What is computed for the padding between two rows is thrown away.

Each kernel is called by every thread with the address of one `JOB`, and takes tasks until there are none: a block of
images, a band of output rows and a part of the output channels. That for few images is given several jobs side by side,
each begun once all tasks of the one before are done: of one image a layer takes less time than it takes to wake a
thread.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import carray, cfunc, from_dtype, njit, types
from torch import Tensor

from secateur.sparse import addresses, vectors
from secateur.sparse.addresses import as_pointer, read_float32, read_int32, take_number, wait_for
from secateur.sparse.vectors import WIDE, finish_row, inner_products, move, products

#: What a kernel is told, all int64; addresses and strides in bytes, sizes in vectors, rows or channels.
FIELDS = """
    threads next here done jobs weight_gradients copying tasks bands parts scratch scratch_bytes results
    inputs outputs added bias relu offsets weights starts entries rings slots columns phase_columns
    channels height width in_block in_channel in_row in_column
    out_channels out_height out_width out_block out_channel out_row out_column
    stride_y stride_x taps spacing top left plane plane_columns plane_rows image_bytes
    blocks gamma beta eps means variances gradients
""".split()  # noqa: SIM905 - a table to read
JOB = np.dtype([(name, np.int64) for name in FIELDS])


def address_of(tensor: Tensor | None) -> int:
    """Where a tensor begins, as a `Job` is told it: 0 where there is none."""
    return 0 if tensor is None else tensor.data_ptr()


class Job(ctypes.Structure):
    """One call of a kernel; what is not given is 0."""

    _fields_ = [(name, ctypes.c_int64) for name in FIELDS]

    def filled(self, **fields: int) -> Job:
        """Return a copy with these fields."""
        job = Job.from_buffer_copy(self)
        for name, value in fields.items():
            setattr(job, name, value)
        return job


_MOST = vectors.most_columns()
#: Where a job counts its tasks that are done.
_DONE = JOB.fields["done"][1]
_LOWEST = np.float32(-np.inf)


@njit
def _copy_row(job, source, target):  # noqa: ANN001, ANN202
    """Copy a row of all channels into the ring; what lies beyond its ends stays zero."""
    phases, wide = job.stride_x, job.phase_columns
    for _ in range(job.channels):
        for phase in range(phases):
            first = max(0, -((phase - job.left) // phases))
            last = min(wide, -((phase - job.left - job.width) // phases))
            column = phase - job.left + phases * first
            move(
                source + column * job.in_column,
                phases * job.in_column,
                target + (phase * wide + first) * WIDE,
                WIDE,
                max(0, last - first),
            )
        source += job.in_channel
        target += job.columns * WIDE


@njit
def _take_tasks(job):  # noqa: ANN001, ANN202
    """Take tasks, fill the ring row by row, and compute each run of neighbouring outputs."""
    ring = job.scratch + take_number(job.here) * job.scratch_bytes
    row_bytes = job.channels * job.columns * WIDE
    carray(as_pointer(ring), job.slots * row_bytes // 4)[:] = 0
    tiles = (job.out_width + _MOST - 1) // _MOST
    span = (job.taps - 1) * job.spacing + 1
    while True:
        task = take_number(job.here + 8)
        if task >= job.tasks:
            break
        part = task % job.parts
        band = task // job.parts % job.bands
        block = task // job.parts // job.bands
        first, last = job.out_channels * part // job.parts, job.out_channels * (part + 1) // job.parts
        following = 0
        for row in range(job.out_height * band // job.bands, job.out_height * (band + 1) // job.bands):
            above = row * job.stride_y - job.top  # the image's row under the first tap
            for needed in range(max(following, above, 0), min(above + span, job.height)):
                source = job.inputs + block * job.in_block + needed * job.in_row
                _copy_row(job, source, ring + (needed + job.top) % job.slots * row_bytes)
            following = max(following, above + span)
            low_tap = max(0, (job.spacing - 1 - above) // job.spacing)
            high_tap = min(job.taps, (job.height - above + job.spacing - 1) // job.spacing)
            low_tap = min(low_tap, job.taps)
            high_tap = max(low_tap, high_tap)
            offsets = job.offsets + row % job.rings * job.entries * 4
            for tile in range(tiles):
                column = job.out_width * tile // tiles
                width = job.out_width * (tile + 1) // tiles - column
                results = block * job.out_block + row * job.out_row + column * job.out_column
                for channel in range(first, last):
                    starts = job.starts + channel * (job.taps + 1) * 4
                    begin = np.int64(read_int32(starts + low_tap * 4))
                    count = np.int64(read_int32(starts + high_tap * 4)) - begin
                    at = results + channel * job.out_channel
                    inputs, walked = ring + column * WIDE, offsets + 4 * begin
                    if job.weight_gradients:
                        sums = job.weights + 4 * (task // job.parts * job.entries + begin)
                        inner_products(width, inputs, walked, sums, count, job.outputs + at, job.out_column)
                    else:
                        start = read_float32(job.bias + 4 * channel) if job.bias else np.float32(0)
                        added = job.added + at if job.added else 0
                        weights = job.weights + 4 * begin
                        low = np.float32(0) if job.relu else _LOWEST
                        products(
                            width, inputs, walked, weights, count, start, low, job.outputs + at, job.out_column, added
                        )


@njit
def _copy_plane(job, source, target):  # noqa: ANN001, ANN202
    """Copy an image's channel (H, W), with its padding, split by the remainders of its rows and columns."""
    rows, columns = job.plane_rows, job.plane_columns
    for phase in range(job.stride_y * job.stride_x):
        shift = phase % job.stride_x - job.left
        first = max(0, -(shift // job.stride_x))
        last = min(columns, -((shift - job.width) // job.stride_x))
        at = target + phase * job.plane
        plane = carray(as_pointer(at), rows * columns)
        plane[:] = 0
        for row in range(rows if last > first else 0):
            above = phase // job.stride_x + row * job.stride_y - job.top
            if above < 0 or above >= job.height:
                continue
            image = source + above * job.in_row
            if job.stride_x == 1:  # slices of numba cost more than what they copy
                finish_row(image + 4 * (first + shift), 0, _LOWEST, at + 4 * (row * columns + first), last - first)
            else:
                for column in range(first, last):
                    plane[row * columns + column] = read_float32(image + 4 * (column * job.stride_x + shift))


@njit
def _take_planes(job):  # noqa: ANN001, ANN202
    phases = job.stride_y * job.stride_x
    while True:
        task = take_number(job.here + 8)
        if task >= job.tasks:
            return
        image, part = task // job.parts, task % job.parts
        planes = job.scratch + image * job.image_bytes
        for channel in range(job.channels * part // job.parts, job.channels * (part + 1) // job.parts):
            source = job.inputs + image * job.in_block + channel * job.in_channel
            _copy_plane(job, source, planes + channel * phases * job.plane)
        take_number(job.here + _DONE)


@njit
def _take_channels(job, results):  # noqa: ANN001, ANN202
    vectors = (((job.out_height - 1) * job.plane_columns + job.out_width) * 4 + WIDE - 1) // WIDE
    while True:
        task = take_number(job.here + 8)
        if task >= job.tasks:
            return
        image, part = task // job.parts, task % job.parts
        planes = job.scratch + image * job.image_bytes
        for channel in range(job.out_channels * part // job.parts, job.out_channels * (part + 1) // job.parts):
            begin = np.int64(read_int32(job.starts + channel * 4))
            count = np.int64(read_int32(job.starts + channel * 4 + 4)) - begin
            start = read_float32(job.bias + 4 * channel) if job.bias else np.float32(0)
            offsets, weights = job.offsets + 4 * begin, job.weights + 4 * begin
            for vector in range(0, vectors, _MOST):
                at = vector * WIDE
                width = min(_MOST, vectors - vector)
                products(width, planes + at, offsets, weights, count, start, _LOWEST, results + at, WIDE, 0)
            outputs = image * job.out_block + channel * job.out_channel
            low = np.float32(0) if job.relu else _LOWEST
            for row in range(job.out_height):
                at = outputs + row * job.out_row
                added = job.added + at if job.added else 0
                source = results + 4 * row * job.plane_columns
                finish_row(source, added, low, job.outputs + at, job.out_width)
        take_number(job.here + _DONE)


def _kernels(version: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """What is compiled is found again on disk by this file's text, and by `version`, which stands for the others'."""

    def convolve(pointer):  # noqa: ANN001, ANN202
        if version:
            _take_tasks(carray(pointer, 1)[0])

    def convolve_planes(pointer):  # noqa: ANN001, ANN202
        first = carray(pointer, 1)[0]
        thread = take_number(first.here)
        jobs = carray(pointer, first.jobs)
        for number in range(first.jobs):
            job = jobs[number]
            if version and job.copying:
                _take_planes(job)
            else:
                _take_channels(job, job.results + thread * job.scratch_bytes)
            wait_for(job.here + _DONE, job.tasks)

    return convolve, convolve_planes


#: `convolve`: outputs from inputs and weights, plus `added`, with `relu`; or, with `weight_gradients` set, gradients of
#: the weights, written to `weights`, a sum for each block and band, from inputs and the gradients at `outputs`.
#: `convolve_planes`: `jobs` of them; one with `copying` set copies the planes of the inputs to `scratch`, for the next,
#: which computes outputs.
_SOURCES = b"".join(Path(module.__file__).read_bytes() for module in (vectors, addresses))
_VERSION = hashlib.sha256(_SOURCES).hexdigest()
convolve, convolve_planes = _kernels(_VERSION)


@cache
def compiled(kernel: Callable[..., None]) -> Any:
    """Return a kernel as machine code, from disk where it has been compiled before."""
    return cfunc(types.void(types.CPointer(from_dtype(JOB))), cache=True, error_model="numpy")(kernel)
