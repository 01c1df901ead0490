"""Training images that are small at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from secateur.measuring.flops import count_flops
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.trainers.DefaultTrainer import DefaultTrainer


class GrowingImages:
    """Progressive resizing (Tan and Le, 2021, "EfficientNetV2", section 4; Howard's fast.ai entry to DAWNBench, 2018).

    Each of `sizes`, a height and width in pixels, holds for an equal part of the epochs. Images are resized after they
    were augmented and normalised, by triangles that cover what they shrink (bilinear with antialiasing). Tests and
    criteria see images as they are.

    Raises `UserError` for a size that the network does not take; `example` is one image (1, C, H, W).
    """

    def __init__(self, sizes: Sequence[int], epochs: int, network: nn.Module, example: Tensor) -> None:
        self.sizes, self.epochs = sizes, epochs
        dense = count_flops(network, example).total
        #: The operations of an image of each size, in those of a whole one, by the network before it was pruned.
        self.costs: dict[int, float] = {}
        for size in sizes:
            try:
                self.costs[size] = count_flops(network, resized(example, size)).total / dense
            except RuntimeError as error:
                raise UserError(f"--train_sizes {size}: the network takes no images of {size}x{size}") from error

    def size(self, epoch: int) -> int:
        """The height and width in an epoch, counted from 0; after the last one that of the last."""
        return self.sizes[min(epoch, self.epochs - 1) * len(self.sizes) // self.epochs]

    def resized(self, images: Tensor, epoch: int) -> Tensor:
        """Images (B, C, H, W) of an epoch, of its size."""
        return resized(images, self.size(epoch))

    def cost(self, epoch: int) -> float:
        """The operations of an image of an epoch, in those of a whole one."""
        return self.costs[self.size(epoch)]


def growing_images(trainer: DefaultTrainer) -> GrowingImages:
    """Those of a trainer, by its `--train_sizes`."""
    return GrowingImages(trainer.train_sizes, max(trainer.total_epochs, 1), trainer.network, trainer.run.example)


def resized(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) of floats to (B, C, size, size)."""
    if images.shape[2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
