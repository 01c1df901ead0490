"""Augmentation of whole batches, on the device they are on. Each image draws its own luck."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Augmentation(Protocol):
    """Changes a batch of images (N, C, H, W) of any type, drawing from `generator` (of the CPU)."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed images, of the same shape and type."""


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirrors each image with this probability."""

    probability: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images, some of them mirrored."""
        chosen = (torch.rand(len(images), generator=generator) < self.probability).nonzero().flatten().to(images.device)
        return images.index_copy(0, chosen, images.index_select(0, chosen).flip(3))


@dataclass(frozen=True)
class RandomCrop:
    """Pads each image with zeros on every side and cuts its size out again somewhere."""

    padding: int = 4

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images, each shifted by up to `padding` pixels in both directions."""
        number, _, height, width = images.shape
        padded = functional.pad(images, [self.padding] * 4)
        rows, columns = torch.randint(0, 2 * self.padding + 1, (2, number), generator=generator).to(images.device)
        # A view of all places the window can be in, (N, C, shifts, shifts, H, W): only the chosen ones are copied.
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(number, device=images.device), :, rows, columns]
