"""Lists of the weights that are there, and what a kernel has to know of a convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.sparse.kernels import Job
from secateur.sparse.vectors import WIDE, most_columns

_MOST_BYTES = most_columns() * WIDE


@dataclass(frozen=True)
class Shape:
    """A convolution: sizes of its kernel and what torch calls stride, padding and dilation, as (rows, columns)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def outputs_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what comes out of images of this height and width."""
        rows, columns = (
            (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, padding, dilation in zip(
                size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return rows, columns


@dataclass(frozen=True)
class Entries:
    """Weights that are there, each by its place in the flat weight, and what it joins."""

    places: Tensor  # int64, as all
    output: Tensor
    input: Tensor
    row: Tensor
    column: Tensor

    @staticmethod
    def of(kept: Tensor, groups: int) -> Entries:
        """Those of a boolean mask (O, C / groups, rows, columns)."""
        outputs, inputs, rows, columns = kept.shape
        output, input_, row, column = kept.nonzero(as_tuple=True)
        places = ((output * inputs + input_) * rows + row) * columns + column
        return Entries(places, output, input_ + output // (outputs // groups) * inputs, row, column)

    def where(self, wanted: Tensor) -> Entries:
        """Those for which `wanted`."""
        return Entries(*(part[wanted] for part in (self.places, self.output, self.input, self.row, self.column)))


@dataclass(frozen=True)
class Axis:
    """What a kernel has to know of rows, or columns: output j reads the inputs j stride + tap spacing - before."""

    outputs: int
    stride: int
    taps: int
    spacing: int
    before: int

    @property
    def span(self) -> int:
        """How many inputs lie between the first and the last that an output reads, these included."""
        return (self.taps - 1) * self.spacing + 1


class Walk:
    """A list in the order of a kernel's walk, with offsets into the ring; for images of one size."""

    def __init__(
        self, entries: Entries, rows: Axis, columns: Axis, channels: int, size: tuple[int, int], out_channels: int
    ) -> None:
        order = torch.argsort(
            ((entries.output * max(rows.taps, 1) + entries.row) * channels + entries.input) * max(columns.taps, 1)
            + entries.column
        )
        entries = entries.where(order)
        self.places = entries.places
        count = len(order)
        slots = max(rows.span, 1)
        rings = slots // math.gcd(slots, rows.stride)
        used = (columns.outputs - 1) * columns.stride + max(columns.span, 1)
        phase_columns = -(-used // columns.stride)
        wide = phase_columns * columns.stride
        padded = entries.column * columns.spacing
        at = padded % columns.stride * phase_columns + padded // columns.stride
        slot = (torch.arange(rings)[:, None] * rows.stride + entries.row * rows.spacing) % slots
        self.offsets = (((slot * channels + entries.input) * wide + at) * WIDE).to(torch.int32)
        cells = torch.bincount(entries.output * max(rows.taps, 1) + entries.row, minlength=out_channels * rows.taps)
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), cells.cumsum(0)])
        number = torch.arange(out_channels)[:, None] * rows.taps + torch.arange(rows.taps + 1)
        self.starts = ends[number].to(torch.int32).contiguous()
        self.rows = rows
        self.scratch_bytes = slots * channels * wide * WIDE
        self.job = Job(
            offsets=self.offsets.data_ptr(), starts=self.starts.data_ptr(), entries=count, rings=rings, slots=slots,
            columns=wide, phase_columns=phase_columns, channels=channels, height=size[0], width=size[1],
            out_channels=out_channels, out_height=rows.outputs, out_width=columns.outputs, stride_y=rows.stride,
            stride_x=columns.stride, taps=rows.taps, spacing=rows.spacing, top=rows.before, left=columns.before,
            scratch_bytes=self.scratch_bytes,
        )  # fmt: skip


class PlaneWalk:
    """A list for images as they are, (N, C, H, W): offsets into padded planes; see `kernels`."""

    def __init__(self, kept: Tensor, shape: Shape, size: tuple[int, int]) -> None:
        entries, outputs = Entries.of(kept, shape.groups), shape.outputs_of(size)
        self.places = entries.places  # in order of the output channels already
        down, right = shape.stride
        tall, wide = (
            length + (taps - 1) * spacing // stride
            for length, taps, spacing, stride in zip(outputs, shape.kernel, shape.dilation, shape.stride, strict=True)
        )
        plane = 4 * tall * wide
        row, column = entries.row * shape.dilation[0], entries.column * shape.dilation[1]
        number = (entries.input * down + row % down) * right + column % right
        self.offsets = (number * plane + 4 * (row // down * wide + column // right)).to(torch.int32)
        counts = torch.bincount(entries.output, minlength=len(kept))
        self.starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]).to(torch.int32)
        channels = kept.shape[1] * shape.groups
        self.image_bytes = channels * down * right * plane
        #: A vector may begin at the last number that is needed.
        self.results_bytes = 4 * outputs[0] * wide + _MOST_BYTES
        self.job = Job(
            offsets=self.offsets.data_ptr(), starts=self.starts.data_ptr(), channels=channels, height=size[0],
            width=size[1], out_channels=len(kept), out_height=outputs[0], out_width=outputs[1], stride_y=down,
            stride_x=right, top=shape.padding[0], left=shape.padding[1], plane=plane, plane_rows=tall,
            plane_columns=wide, image_bytes=self.image_bytes, scratch_bytes=self.results_bytes,
            **_strides("in", channels, size), **_strides("out", len(kept), outputs),
        )  # fmt: skip


def _strides(name: str, channels: int, size: tuple[int, int]) -> dict[str, int]:
    """Bytes between images, channels and rows of (N, C, H, W), as a job is told them."""
    row = 4 * size[1]
    return {f"{name}_row": row, f"{name}_channel": row * size[0], f"{name}_block": row * size[0] * channels}


def forward_walk(kept: Tensor, shape: Shape, size: tuple[int, int]) -> Walk:
    """The list of a convolution of images of this height and width; `kept` is (O, C / groups, rows, columns)."""
    axes = [
        Axis(outputs, stride, taps, dilation, padding)
        for outputs, stride, taps, dilation, padding in zip(
            shape.outputs_of(size), shape.stride, shape.kernel, shape.dilation, shape.padding, strict=True
        )
    ]
    return Walk(Entries.of(kept, shape.groups), *axes, kept.shape[1] * shape.groups, size, len(kept))


def backward_walks(kept: Tensor, shape: Shape, size: tuple[int, int]) -> list[tuple[tuple[int, int], Walk]]:
    """The lists of the gradient of the input, one for each remainder of its rows and columns by the stride.

    An input at s j + r gets the weight of tap k from the output (s j + r + padding - k dilation) / s, where that is
    whole: a convolution of stride 1 for each r.
    """
    entries, outputs = Entries.of(kept, shape.groups), shape.outputs_of(size)
    found = []
    for first_row in range(min(shape.stride[0], size[0])):
        for first_column in range(min(shape.stride[1], size[1])):
            taps, axes = [], []
            for axis, first in enumerate((first_row, first_column)):
                stride, dilation = shape.stride[axis], shape.dilation[axis]
                shift = first + shape.padding[axis]
                used = [tap for tap in range(shape.kernel[axis]) if (shift - tap * dilation) % stride == 0][::-1]
                before = -((shift - used[0] * dilation) // stride) if used else 0
                length = -(-(size[axis] - first) // stride)
                axes.append(Axis(length, 1, len(used), dilation // math.gcd(dilation, stride), before))
                number = torch.full((shape.kernel[axis],), -1)
                number[used] = torch.arange(len(used))
                taps.append(number)
            row, column = taps[0][entries.row], taps[1][entries.column]
            wanted = (row >= 0) & (column >= 0)
            turned = Entries(entries.places, entries.input, entries.output, row, column).where(wanted)
            channels = kept.shape[1] * shape.groups
            found.append(((first_row, first_column), Walk(turned, *axes, len(kept), outputs, channels)))
    return found
