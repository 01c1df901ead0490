"""Layers by their lists in a network that cannot be traced, with the layout changed around each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor, nn

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.layer import SparseLayer


def around(layer: SparseLayer, inputs: Tensor) -> Tensor:
    """Compute a layer of images (N, C, H, W), or of features (..., F), by way of blocks."""
    if isinstance(layer.layer, nn.Linear):
        features = inputs.reshape(-1, inputs.shape[-1])
        return from_blocks(layer(to_blocks(features)), len(features)).unflatten(0, inputs.shape[:-1])
    return from_blocks(layer(to_blocks(inputs)), len(inputs))


class Around(nn.Module):
    """The network with these layers by their lists while it is called."""

    def __init__(
        self,
        network: nn.Module,
        layers: Iterable[str],
        training: bool,
        mask: Callable[[str], Tensor | None],
        dense_gradients: bool,
    ) -> None:
        super().__init__()
        self.__dict__["network"] = network
        self.parts = {}
        for name in layers:
            layer = network.get_submodule(name)
            self.parts[layer] = SparseLayer(layer, trains=training, mask=partial(mask, name))
            self.parts[layer].dense_gradients = dense_gradients
        self.layers = nn.ModuleList(self.parts.values())

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to what the network makes of them."""
        try:
            for layer, part in self.parts.items():
                layer.forward = partial(around, part)
            return self.network(images)
        finally:
            for layer in self.parts:
                layer.__dict__.pop("forward", None)
