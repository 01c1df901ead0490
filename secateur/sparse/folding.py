"""Batch norms that are folded, for evaluation, into the layers that they follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Folded:
    """Weight and bias of a layer with the batch norm that follows, as in evaluation, as they are now.

    What training changes is not always seen by torch's counts of changes, which fused optimizers and batch norms pass
    by: after it `forget` is called, or the norm has counted a batch. They have no gradients. `weights_last` keeps the
    weight's channels last in memory.
    """

    def __init__(self, layer: nn.Module, norm: nn.Module | None, weights_last: bool = False) -> None:
        self.layer, self.norm, self.weights_last = layer, norm, weights_last
        self._found: tuple[Tensor, Tensor | None] | None = None
        self._of: tuple[Any, ...] = ()

    def tensors(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias."""
        layer, norm = self.layer, self.norm
        of_norm = ()
        if norm is not None:
            of_norm = (norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.weight, norm.bias)
        tensors = [tensor for tensor in (layer.weight, layer.bias, *of_norm) if tensor is not None]
        now = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if self._found is None or now != self._of:
            with torch.no_grad():
                weight, bias = self._fold()
                if self.weights_last and weight.dim() == 4:
                    weight = weight.contiguous(memory_format=torch.channels_last)
                self._found, self._of = (weight, bias), now
        return self._found

    def forget(self) -> None:
        """Fold anew at the next call."""
        self._found = None

    def _fold(self) -> tuple[Tensor, Tensor | None]:
        layer, norm = self.layer, self.norm
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        if norm is None:
            return weight, bias
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = (0 if bias is None else bias) - norm.running_mean
        shift = shift * scale + (0 if norm.bias is None else norm.bias)
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1)), shift


class DenseLayer(nn.Module):
    """A Conv2d or Linear executed as ever, with batch norm and ReLU that follow, for evaluation."""

    def __init__(self, layer: nn.Module, norm: nn.Module | None = None, relu: bool = False) -> None:
        super().__init__()
        self.__dict__.update(layer=layer, folded=Folded(layer, norm, weights_last=True))
        self.relu = relu

    def forget(self) -> None:
        """Take the weights anew at the next call."""
        self.folded.forget()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return relu(norm(layer(inputs))), as far as there is each."""
        weight, bias = self.folded.tensors()
        if isinstance(self.layer, nn.Linear):
            outputs = functional.linear(inputs, weight, bias)
        else:
            outputs = self.layer._conv_forward(inputs, weight, bias)
        return functional.relu(outputs, inplace=not outputs.requires_grad) if self.relu else outputs
