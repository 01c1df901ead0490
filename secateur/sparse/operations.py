"""Batch norm and pooling of blocks of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.vectors import LANES


class BlockNorm(nn.Module):
    """A batch norm, with its parameters and its statistics, on blocks (B, C, H, W, 16) or (B, F, 16)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.__dict__["norm"] = norm  # not as a sub-module: it belongs to the network that is executed

    def forward(self, blocks: Tensor, number: int) -> Tensor:
        """Normalise `number` images: the last block may have room for more, which must not count."""
        if number % LANES and (self.norm.training or not self.norm.track_running_stats):
            return to_blocks(self.norm(from_blocks(blocks, number)))
        joined = blocks.flatten(3) if blocks.dim() == 5 else blocks
        return self.norm(joined).view(blocks.shape)


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
