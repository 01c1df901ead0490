"""What a data set is: images and labels as tensors, and the facts about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secateur.config.option import Configurable, option
from secateur.data.augmentation import Augmentation
from secateur.data.conversion import converted
from secateur.utils.errors import UserError


@dataclass
class Images:
    """Labelled images in memory: `pixels` uint8 (N, C, H, W), `labels` int64 (N,) in [0, num_classes).

    `StreamedImages` in secateur/data/streaming.py are images that stay in their files, with the same methods.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return tuple(self.pixels.shape[1:])

    def subset(self, positions: Tensor) -> Images:
        """The images at these positions, int64 (n,)."""
        return Images(self.pixels[positions], self.labels[positions])

    def to(self, device: torch.device) -> Images:
        """The same images in the memory of `device`."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def converted(self, shape: tuple[int, int, int]) -> Images:
        """The images resized, and turned from grey to colour or the other way, to `shape` (C, H, W)."""
        return Images(converted(self.pixels, shape), self.labels)

    def batches(self, spans: Sequence[tuple[int, int]], order: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels (B, C, H, W) and labels (B,) from the start to the stop of each span, on the images' device.

        The positions that the spans count are those in `order`, int64 (N,), where it is given.
        """
        order = None if order is None else order.to(self.pixels.device)
        for start, stop in spans:
            if order is None:
                yield self.pixels[start:stop], self.labels[start:stop]
            else:
                chosen = order[start:stop]
                yield self.pixels.index_select(0, chosen), self.labels.index_select(0, chosen)


class DataSet(Configurable):
    """Base of all data sets. A subclass fills in the facts and writes `load`."""

    title = "network and data"

    preload_all_data: bool = option(
        False,
        "decode image files into memory, even if it is scarce and they would be streamed",
        changes_numbers=False,
        suggested_for="num_workers workers cache cache_dataset in_memory",
    )

    #: Channels, height, width of an image.
    input_shape: tuple[int, int, int]
    num_classes: int
    #: Of the training pixels, scaled to [0, 1]; one number a channel.
    mean: Sequence[float]
    std: Sequence[float]
    #: What is done to training images, in this order.
    augmentation: Sequence[Augmentation] = ()
    #: The batch size where `--batch_size` is not given.
    batch_size: int = 512
    #: Where the images will be used: how much memory is free there decides whether files are decoded or streamed.
    device: torch.device = torch.device("cpu")
    #: What is said where the set was asked for by another spelling of its name, under which others know another one.
    namesake: str = ""
    #: Whether `load` may download files that are not there.
    download: bool = True

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Return the training and the test images, as `Images` or `StreamedImages`.

        `folder` is `--data_dir`. Raises `UserError` naming the files that are missing or damaged, where they belong
        and where they come from.
        """
        raise NotImplementedError  # there are no images that all data sets have


def check_labels(labels: Tensor, num_classes: int, what: str) -> None:
    """Refuse labels that are no classes, as a `UserError` that begins with `what` they are."""
    if labels.dtype != torch.int64 or not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise UserError(f"{what} must be int64 from 0 to {num_classes - 1}: they are {labels.dtype}, {found}")
