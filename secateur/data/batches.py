"""Batches of images: gathered, augmented and normalised on the device, with no Python code a sample."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secateur.data.augmentation import Augmentation, mirror, mirrored_in_turn
from secateur.data.data_set import Images
from secateur.data.streaming import StreamedImages
from secateur.parallel.collectives import part, size
from secateur.utils.seeds import seeded_generator


class Batches:
    """Normalised batches of `images`, float32 (B, C, H, W) with labels int64 (B,), on the device of the images.

    Iterating yields them in order, as for testing; `epoch(n)` yields them shuffled and augmented, as for training.
    The order and the randomness of an epoch depend on `seed` and its number alone, so that any epoch can be repeated.
    """

    #: Whether it is the parts of this process alone that are yielded, where several train together.
    is_shared = False

    def __init__(
        self,
        images: Images | StreamedImages,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: Sequence[Augmentation] = (),
        seed: int = 0,
        alternating_flip: bool = False,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        #: Whether each image is mirrored in every other epoch.
        self.alternating_flip = alternating_flip
        device = images.labels.device
        # (pixel / 255 - mean) / std as one multiplication and one addition
        std_tensor = torch.tensor(std, dtype=torch.float32, device=device)
        mean_tensor = torch.tensor(mean, dtype=torch.float32, device=device)
        self.scale = (1 / (255 * std_tensor))[:, None, None]
        self.shift = (-mean_tensor / std_tensor)[:, None, None]

    def __len__(self) -> int:
        return len(self._edges()) - 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        there = [(start, stop) for start, stop in self._own() if start < stop]
        for pixels, labels in self.images.batches(there):
            yield self.normalise(pixels), labels

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of training epoch `number`, shuffled and augmented."""
        generator = seeded_generator(self.seed, f"epoch {number}")
        order = torch.randperm(len(self.images), generator=generator)
        own = self._own()
        mirrored = mirrored_in_turn(len(order), number, self.seed)[order] if self.alternating_flip else None
        for whole, mine, (pixels, labels) in zip(self._spans(), own, self.images.batches(own, order), strict=True):
            before, after = mine[0] - whole[0], whole[1] - mine[1]
            if before or after:  # the others of the batch, which are not here, draw their random numbers too
                pixels = functional.pad(pixels, (0, 0, 0, 0, 0, 0, before, after))
            for augment in self.augmentation:
                pixels = augment(pixels, generator)
            if mirrored is not None:
                pixels = mirror(pixels, mirrored[slice(*whole)])
            yield self.normalise(pixels[before : len(pixels) - after]), labels

    def shared(self) -> Batches:
        """The parts of these batches that belong to this process: alone, all of them.

        Each image is augmented as in the whole batch. What has no image is left out in testing.
        """
        if size() == 1:
            return self
        parts = copy.copy(self)
        parts.is_shared = True
        return parts

    @property
    def sizes(self) -> list[int]:
        """How many images each whole batch has."""
        return [stop - start for start, stop in self._spans()]

    def subset(self, positions: Tensor) -> Batches:
        """Batches of the images at these positions alone, int64 (n,)."""
        smaller = copy.copy(self)
        smaller.images = self.images.subset(positions.to(self.images.labels.device))
        return smaller

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn uint8 pixels (B, C, H, W) into float32 of mean 0 and standard deviation 1 over the training set."""
        return pixels.to(torch.float32).mul_(self.scale).add_(self.shift)

    def _spans(self) -> list[tuple[int, int]]:
        """Where each batch starts and stops."""
        return list(itertools.pairwise(self._edges()))

    def _own(self) -> list[tuple[int, int]]:
        """Where the part of each batch starts and stops that is yielded."""
        if not self.is_shared:
            return self._spans()
        parts = [(start, part(stop - start)) for start, stop in self._spans()]
        return [(start + own.start, start + own.stop) for start, own in parts]

    def _edges(self) -> list[int]:
        """Where each batch starts, and the end of the last one.

        A single left-over image joins the batch before it: batch normalisation cannot train on one.
        """
        number = len(self.images)
        starts = list(range(0, number, self.batch_size))
        if self.batch_size > 1 and len(starts) > 1 and number - starts[-1] == 1:
            starts.pop()
        return [*starts, number]
