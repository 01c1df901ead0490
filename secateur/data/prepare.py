"""From a data set and the command line to the batches of a run."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.config.smoke import BATCH_SIZE, IMAGES, SYNTHETIC
from secateur.data.batches import Batches
from secateur.data.data_set import DataSet, Images, check_labels
from secateur.data.options import DataOptions
from secateur.data.streaming import StreamedImages
from secateur.data.synthetic import placeholder
from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator

VALIDATION_SHARE = 0.1
#: Batch size with `--disable_autoconfig`.
PLAIN_BATCH_SIZE = 512
#: Images that are decoded for it where they stay in their files.
SAMPLE = 64
#: Images at a time, so that no second copy of all of them is made.
PIECE = 4096


@dataclass
class Data:
    """The batches of a run and what a network must know of them."""

    input_shape: tuple[int, int, int]
    num_classes: int
    train: Batches
    #: What the run is evaluated on: the test set, or with `--tuning` the validation set.
    held_out: Batches
    #: `"test"` or `"validation"`.
    held_out_name: str
    #: What the user should know.
    notices: list[str] = field(default_factory=list)

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """By what a run that goes on knows its data again: of the training images and of those held out."""
        parts = {"training": self.train, self.held_out_name: self.held_out}
        return {name: fingerprint(part.images) for name, part in parts.items()}


def prepare_data(
    data_set: DataSet, options: DataOptions, device: torch.device, *, seed: int, smoke: bool = False
) -> Data:
    """Load a data set and apply the options that change it; with `smoke` a few images of it."""
    notices: list[str] = []
    data_set.device = device
    train, test = _loaded_or_synthetic(data_set, options.data_dir, smoke, notices)
    _check(data_set, train, test)
    if unseen := _unseen(train, test):
        count = f"{len(unseen)} classes, such as {unseen[0]}," if len(unseen) > 1 else f"a class, {unseen[0]},"
        notices.append(f"the test images have {count} that no training image has")
    mean, std, augmentation = data_set.mean, data_set.std, data_set.augmentation
    batch_size = options.batch_size or data_set.batch_size
    if options.disable_autoconfig:
        channels = train.shape[0]
        mean, std, augmentation = [0.0] * channels, [1.0] * channels, ()
        batch_size = options.batch_size or PLAIN_BATCH_SIZE
    if smoke:
        batch_size = min(batch_size, BATCH_SIZE)
    num_classes = options.output_dim or data_set.num_classes
    if num_classes < data_set.num_classes:
        raise UserError(f"--output_dim {num_classes} is less than the {data_set.num_classes} classes of the data set")
    if options.N:
        if len(train) < options.N:
            raise UserError(f"--N {options.N}: the data set has {len(train)} training images only")
        train = train.subset(torch.arange(options.N))
    held_out, held_out_name = test, "test"
    if options.tuning:
        train, held_out = _split(train)
        held_out_name = "validation"
    if smoke:
        train, held_out = (part.subset(torch.arange(min(len(part), IMAGES))) for part in (train, held_out))
    if options.random_shuffle_labels:
        order = torch.randperm(len(train), generator=seeded_generator(seed, "labels"))
        train = replace(train, labels=train.labels[order])
    if options.input_dim:
        shape = tuple(options.input_dim)
        mean, std = _for_channels(mean, shape[0]), _for_channels(std, shape[0])
        train, held_out = train.converted(shape), held_out.converted(shape)
    return Data(
        input_shape=train.shape,
        num_classes=num_classes,
        train=Batches(train.to(device), batch_size, mean, std, augmentation, seed),
        held_out=Batches(held_out.to(device), batch_size, mean, std),
        held_out_name=held_out_name,
        notices=notices,
    )


def _loaded_or_synthetic(
    data_set: DataSet, folder: Path, smoke: bool, notices: list[str]
) -> tuple[Images | StreamedImages, ...]:
    """Load the data set; with `--smoke` what is not there is synthetic instead of downloaded, as `notices` then say."""
    if not smoke:
        return data_set.load(folder)
    data_set.download = False
    try:
        return data_set.load(folder)
    except UserError as error:
        notices.append(f"--smoke: synthetic images of its shape stand in for the data set: {error}")
        return placeholder(data_set, SYNTHETIC)


def _check(data_set: DataSet, train: Images | StreamedImages, test: Images | StreamedImages) -> None:
    """Refuse what a data set must not return, naming it."""
    who = type(data_set).__name__
    missing = [fact for fact in ("input_shape", "num_classes", "mean", "std") if not hasattr(data_set, fact)]
    if missing:
        raise UserError(f"the data set {who} does not say its {missing[0]}")
    for part, images in (("training", train), ("test", test)):
        if isinstance(images, Images):
            _check_tensors(data_set, part, images)
        check_labels(images.labels, data_set.num_classes, f"{who}: the {part} labels")


def _check_tensors(data_set: DataSet, part: str, images: Images) -> None:
    """Refuse tensors of another type or shape than the data set says."""
    who, pixels, labels = type(data_set).__name__, images.pixels, images.labels
    if not (isinstance(pixels, torch.Tensor) and isinstance(labels, torch.Tensor) and pixels.dtype == torch.uint8):
        raise UserError(f"{who}: the {part} images must be tensors, the pixels of type uint8")
    if pixels.shape[1:] != torch.Size(data_set.input_shape) or len(pixels) != len(labels) or not len(pixels):
        shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
        raise UserError(f"{who}: the {part} images and labels are {shapes}, not (N, *{data_set.input_shape}) and (N,)")


def _unseen(train: Images | StreamedImages, test: Images | StreamedImages) -> list[int]:
    """The classes that a network is tested on and never sees in training."""
    return sorted({*test.labels.unique().tolist()} - {*train.labels.unique().tolist()})


def _split(images: Images | StreamedImages) -> tuple[Images | StreamedImages, Images | StreamedImages]:
    """Hold out a tenth of each class: always the same one, so that no run trains on what another is evaluated on."""
    generator = seeded_generator(0, "validation split")
    held_out = torch.zeros(len(images), dtype=torch.bool)
    for label in images.labels.unique():
        members = (images.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[: round(VALIDATION_SHARE * len(members))]]] = True
    if not held_out.any():
        raise UserError(f"--tuning: {len(images)} training images are too few to hold a tenth of each class out")
    return images.subset((~held_out).nonzero().flatten()), images.subset(held_out.nonzero().flatten())


def _for_channels(numbers: list[float], channels: int) -> list[float]:
    """A statistic of one number a channel, for another number of channels."""
    if len(numbers) == channels:
        return list(numbers)
    return [sum(numbers) / len(numbers)] * channels


def fingerprint(images: Images | StreamedImages) -> dict[str, Any]:
    """Return how many images there are, and checksums: of the labels, of a sample, and of every pixel or file name.

    The sample is the same whether images are in memory or stay in their files, which depends on what memory is free.
    """
    spread = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images)), dtype=torch.float64).long()
    chosen = images.subset(spread.to(images.labels.device))
    sample = next(iter(chosen.batches([(0, len(chosen))])))[0]
    found = {"images": len(images), "labels": _crc([images.labels]), "sample": _crc([sample])}
    if isinstance(images, Images):
        return found | {"pixels": _crc(images.pixels.split(PIECE))}
    return found | {"files": f"{zlib.crc32(chr(10).join(_names(images.files)).encode(errors='replace')):08x}"}


def _crc(pieces: Iterable[Tensor]) -> str:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(_bytes(piece), crc)
    return f"{crc:08x}"


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.cpu().contiguous().numpy()).cast("B")


def _names(files: list[str]) -> list[str]:
    """The files' names, whatever folder they lie in by now."""
    start = len(os.path.commonpath(files)) if files else 0
    return [file[start:] for file in files]
