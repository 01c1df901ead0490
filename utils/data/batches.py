"""Batches of images: gathered, augmented and normalised on the device, with no Python code a sample."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from utils.data.augmentation import Augmentation
from utils.data.data_set import Images
from utils.data.streaming import StreamedImages
from utils.seeds import seeded_generator


class Batches:
    """Normalised batches of `images`, float32 (B, C, H, W) with labels int64 (B,), on the device of the images.

    Iterating yields them in order, as for testing; `epoch(n)` yields them shuffled and augmented, as for training.
    The order and the luck of an epoch depend on `seed` and its number alone, so that any epoch can be repeated.
    """

    def __init__(
        self,
        images: Images | StreamedImages,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Sequence[Augmentation] = (),
        seed: int = 0,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        device = images.labels.device
        # (pixel / 255 - mean) / std as one multiplication and one addition
        std_tensor = torch.tensor(std, dtype=torch.float32, device=device)
        mean_tensor = torch.tensor(mean, dtype=torch.float32, device=device)
        self.scale = (1 / (255 * std_tensor))[:, None, None]
        self.shift = (-mean_tensor / std_tensor)[:, None, None]

    def __len__(self) -> int:
        return len(self._edges()) - 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, labels in self.images.batches(self._edges()):
            yield self.normalise(pixels), labels

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of training epoch `number`, shuffled and augmented."""
        generator = seeded_generator(self.seed, f"epoch {number}")
        order = torch.randperm(len(self.images), generator=generator)
        for pixels, labels in self.images.batches(self._edges(), order):
            for augment in self.augmentation:
                pixels = augment(pixels, generator)
            yield self.normalise(pixels), labels

    def subset(self, positions: Tensor) -> Batches:
        """Batches of the images at these positions alone, int64 (n,)."""
        smaller = copy.copy(self)
        smaller.images = self.images.subset(positions.to(self.images.labels.device))
        return smaller

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn uint8 pixels (B, C, H, W) into float32 of mean 0 and standard deviation 1 over the training set."""
        return pixels.to(torch.float32).mul_(self.scale).add_(self.shift)

    def _edges(self) -> list[int]:
        """Where each batch starts, and the end of the last one.

        A single left-over image joins the batch before it: batch normalisation cannot train on one.
        """
        number = len(self.images)
        starts = list(range(0, number, self.batch_size))
        if self.batch_size > 1 and len(starts) > 1 and number - starts[-1] == 1:
            starts.pop()
        return [*starts, number]
