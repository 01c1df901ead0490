"""Augmentation of whole batches, on the device they are on. Each image draws its own random numbers."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from secateur.utils.seeds import seeded_generator


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
        return mirror(images, torch.rand(len(images), generator=generator) < self.probability)


def mirrored_in_turn(number: int, epoch: int, seed: int) -> Tensor:
    """Which of so many images are mirrored in an epoch, bool (N,): each of them in every other one.

    Which half is in epoch 0 is drawn from the seed (Jordan, 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
    section 3.6, alternating flip).
    """
    return (torch.rand(number, generator=seeded_generator(seed, "alternating flip")) < 0.5) ^ bool(epoch % 2)


def mirror(images: Tensor, which: Tensor) -> Tensor:
    """Images (N, C, H, W), those mirrored that are True in `which`, bool (N,) of the CPU."""
    # To mirror all and choose whole images is several times faster than to write some of them back.
    chosen = torch.arange(len(images)) + len(images) * which
    return torch.cat([images, images.flip(3)]).index_select(0, chosen.to(images.device))


@dataclass(frozen=True)
class RandomCrop:
    """Pads each image with zeros on every side and cuts its size out again somewhere."""

    padding: int = 4

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the images, each shifted by up to `padding` pixels in both directions."""
        number, channels, height, width = images.shape
        padded = functional.pad(images, [self.padding] * 4)
        wide, size = width + 2 * self.padding, padded[0, 0].numel()
        rows, columns = torch.randint(0, 2 * self.padding + 1, (2, number), generator=generator)
        corners = size * torch.arange(number * channels).view(number, channels) + (rows * wide + columns)[:, None]
        starts = corners[:, :, None] + wide * torch.arange(height)
        # A view of all pieces as long as a row, wherever they start: only the chosen ones are copied, each in one go.
        pieces = padded.flatten().unfold(0, width, 1)
        return pieces.index_select(0, starts.flatten().to(images.device)).view(images.shape)


@dataclass(frozen=True)
class RandomResizedCrop:
    """KeptIndices out a part of each image, somewhere, and enlarges it to the size of the image (Szegedy et al., 2015).

    The part has at least `smallest` of the area, and up to `stretch` times the proportions of the image.
    """

    smallest: float = 0.08
    stretch: float = 4 / 3

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the enlarged parts."""
        area, stretch, *place = torch.rand(4, len(images), generator=generator)
        area = self.smallest + (1 - self.smallest) * area
        stretch = torch.exp((2 * stretch - 1) * math.log(self.stretch))
        # Shares of the width and the height; a part that is wider or higher than the image ends where the image does.
        shares = torch.stack([(area * stretch).sqrt(), (area / stretch).sqrt()]).clamp(max=1)
        centres = (2 * torch.stack(place) - 1) * (1 - shares)
        # The coordinates of torch run from -1 to 1 over the image: x' = share * x + centre.
        affine = torch.cat([torch.diag_embed(shares.T), centres.T[:, :, None]], 2).to(images.device)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        enlarged = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return enlarged.round().to(images.dtype)
