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
        chosen = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


@dataclass(frozen=True)
class RandomCrop:
    """Pads each image with zeros on every side and cuts its size out again somewhere."""

    padding: int = 4

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images, each shifted by up to `padding` pixels in both directions."""
        number, channels, height, width = images.shape
        padded = functional.pad(images, [self.padding] * 4)
        shifts = torch.randint(0, 2 * self.padding + 1, (2, number), generator=generator).to(images.device)
        rows = shifts[0, :, None] + torch.arange(height, device=images.device)
        columns = shifts[1, :, None] + torch.arange(width, device=images.device)
        image = torch.arange(number, device=images.device)[:, None, None, None]
        channel = torch.arange(channels, device=images.device)[None, :, None, None]
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
