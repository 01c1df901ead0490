"""What layers get on calibration batches: their inputs as rows of a matrix, and the statistics of these.

A layer is a product with the matrix of its weights, (G, R, F): G groups, R outputs of each, and F columns, the places
of the kernel one after another with the inputs of a group beside each other. A row of its inputs is what one place of
the outputs is made of.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.pruning.layers import outputs_first
from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode

#: At most so many places of a layer's outputs are looked at, or so many for each column if that is more; and so many
#: images are unfolded at once.
MOST_ROWS, ROWS_A_COLUMN, CHUNK = 10_000, 4, 32

#: Called with a layer's name, the layer, and its inputs (B, ...).
See = Callable[[str, nn.Module, Tensor], None]


@torch.no_grad()
def see_inputs(network: nn.Module, names: Iterable[str], images: Tensor, see: See) -> Any:
    """Run a network on `images` (B, C, H, W), and let `see` have the inputs of each named layer before it runs.

    What `see` does to the layer has its effect on all that follow. The network is in evaluation mode; returns what it
    gives.
    """
    handles = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda layer, inputs, name=name: see(name, layer, inputs[0])
        )
        for name in names
    ]
    try:
        with evaluation_mode(network):
            return network(images)
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def seeing_outputs(
    network: nn.Module, names: Iterable[str], see: Callable[[str, nn.Module, Tensor], Tensor | None]
) -> Iterator[None]:
    """Let `see` have what each named module gives after it has run; what it returns, if anything, goes on instead."""
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, _, outputs, name=name: see(name, module, outputs)
        )
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def unfolded(layer: nn.Module, inputs: Tensor, places: Tensor | None = None) -> Tensor:
    """Return a layer's inputs as (B, P, G, F'), of all places of its outputs or of the numbers `places` (P,).

    The columns are in the order of `weight.flatten(1)`: the places of the kernel of one input beside each other.
    """
    if isinstance(layer, nn.Linear):
        rows = inputs.reshape(len(inputs), -1, 1, inputs.shape[-1])
        return rows if places is None else rows[:, places]
    windows = _padded(layer, inputs)
    stride = [1] * len(layer.stride) if layer.transposed else layer.stride
    for dim, (size, step, gap) in enumerate(zip(layer.kernel_size, stride, layer.dilation, strict=True), start=2):
        windows = windows.unfold(dim, gap * (size - 1) + 1, step)[..., ::gap]
    dims = len(stride)
    sizes = windows.shape[2 : 2 + dims]
    if layer.transposed:
        windows = windows.flip(tuple(range(2 + dims, 2 + 2 * dims)))
    if places is None:
        windows = windows.flatten(2, 1 + dims)
    else:
        windows = windows[(slice(None), slice(None), *torch.unravel_index(places, sizes))]
    return windows.unflatten(1, (layer.groups, -1)).movedim(3, 1).flatten(3)  # (B, G, I, P, ...) -> (B, P, G, F)


def _padded(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What the kernel is moved over; of a transposed convolution its inputs, with zeros between them and around."""
    if not layer.transposed:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        return functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    sizes = [(size - 1) * step + 1 for size, step in zip(inputs.shape[2:], layer.stride, strict=True)]
    spread = inputs.new_zeros(*inputs.shape[:2], *sizes)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in layer.stride))] = inputs
    axes = zip(layer.kernel_size, layer.dilation, layer.padding, layer.output_padding, strict=True)
    around = [(gap * (size - 1) - pad, gap * (size - 1) - pad + more) for size, gap, pad, more in axes]
    return functional.pad(spread, [side for pair in reversed(around) for side in pair])


class Sampler:
    """Chooses the rows of a layer's inputs that are looked at, at most about `most`; the same for the same name.

    The inputs (B, ...) may come in parts, whose lengths are multiples of CHUNK, but for the last: the rows are those of
    all `length` at once.
    """

    def __init__(self, name: str, length: int, most: int = MOST_ROWS) -> None:
        self._generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self._left = min(length, most)
        self._places = max(most // max(self._left, 1), 1)

    def rows(self, layer: nn.Module, inputs: Tensor) -> Iterator[Tensor]:
        """Yield parts (rows, G, F') of a layer's unfolded inputs."""
        images = inputs[: self._left]
        self._left -= len(images)
        for part in images.split(CHUNK) if len(images) else ():
            there = _number_of_places(layer, part)
            places = None
            if there > self._places:
                places = torch.randperm(there, generator=self._generator)[: self._places].to(part.device)
            yield unfolded(layer, part, places).flatten(0, 1)


def sampled_rows(name: str, layer: nn.Module, inputs: Tensor, most: int = MOST_ROWS) -> Iterator[Tensor]:
    """Yield parts (rows, G, F') of a layer's unfolded inputs, at most about `most` rows; the same for the same name."""
    return Sampler(name, len(inputs), most).rows(layer, inputs)


def _number_of_places(layer: nn.Module, inputs: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return math.prod(inputs.shape[1:-1])
    padded = _padded(layer, inputs[:1]).shape[2:]
    stride = [1] * len(padded) if layer.transposed else layer.stride
    axes = zip(padded, layer.kernel_size, layer.dilation, stride, strict=True)
    return math.prod((size - gap * (kernel - 1) - 1) // step + 1 for size, kernel, gap, step in axes)


def as_matrix(layer: nn.Module, tensor: Tensor | None = None) -> Tensor:
    """What has the shape of the layer's weight, by default the weight itself, as (G, R, F)."""
    rows = outputs_first(layer, layer.weight.detach() if tensor is None else tensor)
    return rows.movedim(1, -1).flatten(1).unflatten(0, (getattr(layer, "groups", 1), -1))


def from_matrix(layer: nn.Module, matrix: Tensor) -> Tensor:
    """The same back in the shape of the layer's weight."""
    outputs, inputs, *kernel = outputs_first(layer).shape
    return outputs_first(layer, matrix.reshape(outputs, *kernel, inputs).movedim(-1, 1)).contiguous()


@dataclass(frozen=True)
class InputStatistics:
    """Means over the rows x of a layer's inputs, in float64."""

    #: E[x] and E[x^2], (G, F).
    mean: Tensor
    square: Tensor
    #: E[x x^T], (G, F, F); None where nobody asked for it.
    moments: Tensor | None

    def added(self, damping: float) -> Tensor:
        """What is added to the diagonal of the second moments, (G, 1): a fraction of its mean, 1 where that is 0."""
        mean = self.square.mean(1, keepdim=True)
        return torch.where(mean > 0, damping * mean, 1)

    def damped(self, damping: float) -> Tensor:
        """H = E[x x^T] + `damping` * mean(diag H), (G, F, F); of inputs that are all zero the identity."""
        return self.moments + torch.diag_embed(self.added(damping).expand_as(self.square))

    def inverse(self, damping: float) -> Tensor:
        """H^-1, (G, F, F); raises `UserError` where there is none."""
        factor, failed = torch.linalg.cholesky_ex(self.damped(damping))
        if failed.any():
            raise UserError(f"--damping {damping:g}: a layer's moments cannot be inverted: increase it")
        return torch.cholesky_inverse(factor)


def input_statistics(name: str, layer: nn.Module, inputs: Tensor, *, moments: bool) -> InputStatistics:
    """Return the statistics of a layer's inputs (B, ...) at its sampled places, with second `moments` or without."""
    places = max(math.prod(getattr(layer, "kernel_size", ())), 1)
    columns = outputs_first(layer)[0].numel()
    rows, mean, square, products = 0, 0, 0, 0
    for part in sampled_rows(name, layer, inputs, max(MOST_ROWS, ROWS_A_COLUMN * columns)):
        by_place = part.unflatten(-1, (-1, places)).transpose(-1, -2).flatten(-2)
        found = exact(by_place).transpose(0, 1)  # (G, rows, F)
        rows += found.shape[1]
        mean = mean + found.sum(1)
        square = square + found.square().sum(1)
        if moments:
            products = products + found.mT @ found
    return InputStatistics(mean / rows, square / rows, products / rows if moments else None)


def unseen_statistics(layer: nn.Module) -> InputStatistics:
    """Those of inputs that nobody has seen, as of a layer that the network does not call: independent, of size 1."""
    groups, _, columns = as_matrix(layer).shape
    ones = torch.ones(groups, columns, dtype=torch.float64)
    return InputStatistics(0 * ones, ones, torch.diag_embed(ones))


def exact(numbers: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return (numbers.cpu() if numbers.device.type == "mps" else numbers).double()
