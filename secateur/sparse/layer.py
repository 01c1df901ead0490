"""One layer executed by the list of its weights, with what follows it: batch norm, an addition, ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from secateur.sparse.convolution import PlaneJobs, convolve_blocks, from_blocks, weight_gradients
from secateur.sparse.folding import Folded
from secateur.sparse.kernels import address_of
from secateur.sparse.lists import PlaneWalk, Shape, Walk, backward_walks, forward_walk
from secateur.sparse.vectors import LANES

#: The layers that can be executed so.
LAYERS = (nn.Conv2d, nn.Linear)


def is_executable(layer: nn.Module) -> bool:
    """Whether a layer can be executed by the list of its weights."""
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros" and layer.weight.dtype == torch.float32
    return type(layer) is nn.Linear and layer.weight.dtype == torch.float32


def shape_of(layer: nn.Module) -> Shape:
    """The layer as a convolution; a linear one is 1x1."""
    if isinstance(layer, nn.Linear):
        return Shape((1, 1))
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padding = layer.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        spread = [spacing * (taps - 1) for taps, spacing in zip(kernel, dilation, strict=True)]
        if any(length % 2 for length in spread):
            raise ValueError("padding='same' of an even kernel is not the same on both sides")
        padding = tuple(length // 2 for length in spread)
    return Shape(kernel, stride, padding, dilation, layer.groups)


class Lists:
    """The lists of a layer for the image sizes it has seen; they follow the layer.

    Listed is what the mask keeps, if there is one, else what is not zero. A weight that is zero may stand in a list;
    one that is not and stands in none makes new lists.

    Parameters: `mask()`, which weights of the layer are kept now, or None.
    """

    def __init__(self, layer: nn.Module, mask: Callable[[], Tensor | None]) -> None:
        self.layer, self.shape, self.mask = layer, shape_of(layer), mask
        self._version: tuple[Any, ...] = ()
        self._mask: Tensor | None = None
        #: Which weights are in the lists, boolean (O, C / groups, rows, columns), and how many.
        self.kept: Tensor | None = None
        self.number = 0
        self._walks: dict[Any, Any] = {}

    def refresh(self) -> None:
        """Make new lists where the mask is another, or where there are weights that the lists lack."""
        weight, mask = self.layer.weight.detach(), self.mask()
        if mask is not None:
            if mask is not self._mask:
                self._set(mask)
            self._mask = mask
            return
        version = (weight.data_ptr(), weight._version, weight.shape)
        if version == self._version:
            return
        self._version = version
        there = int(weight.count_nonzero())
        listed = -1 if self.kept is None else int((weight.view_as(self.kept)[self.kept]).count_nonzero())
        if there != listed or 2 * there < self.number:
            self._set(weight != 0)

    def _set(self, kept: Tensor) -> None:
        self.kept = kept.reshape(len(kept), -1, *self.shape.kernel)
        self.number = int(kept.count_nonzero())
        self._walks = {}

    def walk(self, kind: str, size: tuple[int, int]) -> Any:
        """The list for images of this height and width: of kind forward, backward or planes."""
        if (kind, size) not in self._walks:
            make = {"forward": forward_walk, "backward": backward_walks, "planes": PlaneWalk}[kind]
            self._walks[kind, size] = make(self.kept, self.shape, size)
        return self._walks[kind, size]


def _as_images(features: Tensor) -> Tensor:
    """Blocks (B, C, H, W, 16); of a linear layer, (B, F, 16), the blocks as columns of one row, (1, F, 1, B, 16)."""
    return features if features.dim() == 5 else features.permute(1, 0, 2)[None, :, None]


def as_planes(features: Tensor) -> Tensor:
    """Features (N, F) as images of one pixel, (N, F, 1, 1); images (N, C, H, W) as they are."""
    return features[:, :, None, None] if features.dim() == 2 else features


def _convolve(walk: Walk, inputs: Tensor, weights: Tensor, outputs: Tensor, added: Tensor | None, **rest: Any) -> None:
    more = None if added is None else _as_images(added)
    convolve_blocks(walk, _as_images(inputs), weights, _as_images(outputs), added=more, **rest)


class _Product(torch.autograd.Function):
    """The layer's product with all its gradients; those of the weight are zero where the list has none."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None, layer: SparseLayer, relu: bool) -> Tensor:  # fmt: skip  # noqa: E501
        outputs = layer.product(inputs, weight.detach(), bias, added, relu)
        ctx.layer, ctx.relu, ctx.has_bias = layer, relu, bias is not None
        ctx.save_for_backward(inputs, weight, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple:
        inputs, weight, outputs = ctx.saved_tensors
        layer: SparseLayer = ctx.layer
        gradients = gradients.contiguous()
        if ctx.relu:
            gradients = gradients * (outputs > 0)
        wanted = ctx.needs_input_grad
        return (
            layer.input_gradient(inputs, weight, gradients) if wanted[0] else None,
            layer.weight_gradient(inputs, weight, gradients) if wanted[1] else None,
            gradients.sum((0, *range(2, gradients.dim()))) if ctx.has_bias and wanted[2] else None,
            gradients if wanted[3] else None,
            None,
            None,
        )


class SparseLayer(nn.Module):
    """A Conv2d or Linear, executed by the list of its weights.

    Takes images (N, C, H, W) and features (N, F) as they are, or in blocks, (B, C, H, W, 16) and (B, F, 16); gives what
    it took.

    Parameters: `norm`, a batch norm that follows, folded into the weights: for evaluation only; `relu`, whether one
    follows, after what `forward` is told to add; `trains`, whether the layer's parameters get gradients.
    """

    def __init__(
        self,
        layer: nn.Module,
        norm: nn.Module | None = None,
        relu: bool = False,
        trains: bool = False,
        mask: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        super().__init__()
        # Not as sub-modules: they belong to the network that is executed.
        self.__dict__.update(layer=layer, folded=Folded(layer, norm))
        self.relu, self.trains = relu, trains
        #: Whether weights that are in no list get gradients too.
        self.dense_gradients = False
        self.lists = Lists(layer, mask)
        self._values: dict[int, tuple[Any, ...]] = {}

    def forward(self, inputs: Tensor, added: Tensor | None = None) -> Tensor:
        """Return relu(norm(layer(inputs)) + added), as far as there is each."""
        weight, bias = self.parameters_now()
        needed = (inputs, added, weight, bias)
        if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in needed):
            return _Product.apply(inputs, weight, bias, added, self, self.relu)
        return self.product(inputs, weight, bias, added, self.relu)

    def parameters_now(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias as they are now, with the norm folded in, and see to it that the lists are theirs."""
        self.lists.refresh()
        return (self.layer.weight, self.layer.bias) if self.trains else self.folded.tensors()

    def forget(self) -> None:
        """Take the weights anew at the next call."""
        self.folded.forget()
        self._values.clear()

    def list_values(self, walk: Walk | PlaneWalk, weight: Tensor) -> Tensor:
        """The weights in the order of the walk, taken anew where the weight has changed, as it does in training."""
        if self.trains:
            return weight.detach().flatten()[walk.places]
        now = (weight.data_ptr(), weight._version)
        was = self._values.get(id(walk))
        if was is None or was[0] != now:
            if was is None and len(self._values) >= 64:
                self._values.clear()
            # The weight and the walk are kept, so that their addresses are nobody else's.
            was = self._values[id(walk)] = (now, weight.detach().flatten()[walk.places], weight.detach(), walk)
        return was[1]

    def product(self, inputs: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None, relu: bool) -> Tensor:
        """Compute the layer, without remembering anything for gradients."""
        inputs = inputs.detach()
        bias = None if bias is None else bias.detach().contiguous()
        if inputs.dim() in (2, 4):
            return self._plain(inputs, weight, bias, added, relu)
        inputs = inputs.contiguous()
        walk = self._forward_walk(inputs)
        channels = len(weight)
        size = self.lists.shape.outputs_of(inputs.shape[2:4]) if inputs.dim() == 5 else ()
        outputs = inputs.new_empty(len(inputs), channels, *size, LANES)
        added = None if added is None else added.detach().contiguous()
        _convolve(walk, inputs, self.list_values(walk, weight), outputs, added, bias=bias, relu=relu)
        return outputs

    def _forward_walk(self, inputs: Tensor) -> Walk:
        size = tuple(inputs.shape[2:4]) if inputs.dim() == 5 else (1, len(inputs))
        return self.lists.walk("forward", size)

    def _plain(self, inputs: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None, relu: bool) -> Tensor:
        images = as_planes(inputs.contiguous())
        size = tuple(images.shape[2:])
        walk = self.lists.walk("planes", size)
        outputs = inputs.new_empty(len(images), len(weight), *self.lists.shape.outputs_of(size))
        values, added = self.list_values(walk, weight), None if added is None else added.detach().contiguous()
        parts = (images, outputs, values, bias, added)
        PlaneJobs([walk], len(images)).run([(*map(address_of, parts), relu)])
        return outputs.flatten(1) if inputs.dim() == 2 else outputs

    def input_gradient(self, inputs: Tensor, weight: Tensor, gradients: Tensor) -> Tensor:
        """The gradient of the inputs, from that of the outputs."""
        found = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        size = tuple(inputs.shape[2:4]) if inputs.dim() == 5 else (1, len(inputs))
        rows, columns = self.lists.shape.stride
        for (row, column), walk in self.lists.walk("backward", size):
            part = found[:, :, row::rows, column::columns] if inputs.dim() == 5 else found
            _convolve(walk, gradients, self.list_values(walk, weight), part, None)
        return found

    def weight_gradient(self, inputs: Tensor, weight: Tensor, gradients: Tensor) -> Tensor:
        """The gradient of the weights that are in the list; zero elsewhere."""
        if self.dense_gradients:
            return self._dense_gradient(inputs, weight, gradients)
        walk = self._forward_walk(inputs)
        found = torch.zeros_like(weight, memory_format=torch.contiguous_format)
        sums = weight_gradients(walk, _as_images(inputs.contiguous()), _as_images(gradients))
        found.view(-1)[walk.places] = sums
        return found

    def _dense_gradient(self, inputs: Tensor, weight: Tensor, gradients: Tensor) -> Tensor:
        number, layer = len(inputs) * LANES, self.layer
        images, gradients = from_blocks(inputs, number), from_blocks(gradients, number)
        if isinstance(layer, nn.Linear):
            return gradients.T @ images
        shape = self.lists.shape
        return conv2d_weight(images, weight.shape, gradients, shape.stride, shape.padding, shape.dilation, shape.groups)
