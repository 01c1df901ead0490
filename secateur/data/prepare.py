"""From a data set and the command line to the batches of a run."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.config.smoke import BATCH_SIZE, IMAGES, SYNTHETIC
from secateur.data.augmentation import HorizontalFlip
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
    #: Images held out of the training set, with `--tuning` or to keep the best network; else None.
    validation: Batches | None = None
    #: What the user should know.
    notices: list[str] = field(default_factory=list)

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """By what a run that goes on knows its data again: of the training images and of those held out."""
        parts = {"training": self.train, self.held_out_name: self.held_out}
        return {name: fingerprint(part.images) for name, part in parts.items()}


def prepare_data(
    data_set: DataSet,
    options: DataOptions,
    device: torch.device,
    *,
    seed: int,
    smoke: bool = False,
    validates: bool = False,
) -> Data:
    """Load a data set and apply the options that change it; with `smoke` a few images of it.

    With `validates`, or `--tuning`, a part of the training set is held out for validation.
    """
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
        train = train.subset(_first(train.labels, options.N))
    if options.alternating_flip:
        kept = [one for one in augmentation if not isinstance(one, HorizontalFlip)]
        if len(kept) == len(augmentation):
            raise UserError(f"--alternating_flip: {type(data_set).__name__} mirrors no images: leave it out")
        augmentation = kept
    parts = {"train": train, "test": test}
    if options.tuning or validates:
        parts["train"], parts["validation"] = _split(train, options)
    held_out_name = "validation" if options.tuning else "test"
    if options.tuning:
        del parts["test"]  # it is left alone
    if smoke:
        parts = {name: part.subset(torch.arange(min(len(part), IMAGES))) for name, part in parts.items()}
    if options.random_shuffle_labels:
        order = torch.randperm(len(parts["train"]), generator=seeded_generator(seed, "labels"))
        parts["train"] = replace(parts["train"], labels=parts["train"].labels[order])
    if options.input_dim:
        shape = tuple(options.input_dim)
        mean, std = _for_channels(mean, shape[0]), _for_channels(std, shape[0])
        parts = {name: part.converted(shape) for name, part in parts.items()}
    train = parts.pop("train")
    held_out = {name: Batches(part.to(device), batch_size, mean, std) for name, part in parts.items()}
    return Data(
        input_shape=train.shape,
        num_classes=num_classes,
        train=Batches(train.to(device), batch_size, mean, std, augmentation, seed, options.alternating_flip),
        held_out=held_out[held_out_name],
        held_out_name=held_out_name,
        validation=held_out.get("validation"),
        notices=notices,
    )


def _first(labels: Tensor, number: int) -> Tensor:
    """The positions of the first images; where they lie class by class, as in folders, of each class its share."""
    labels = labels.cpu()
    if (labels.diff() < 0).any():
        return torch.arange(number)
    sizes = labels.unique_consecutive(return_counts=True)[1].tolist()
    starts = itertools.accumulate(sizes, initial=0)
    counts = _shares(sizes, number)
    return torch.cat([torch.arange(start, start + count) for start, count in zip(starts, counts, strict=False)])


def _loaded_or_synthetic(
    data_set: DataSet, folder: Path, smoke: bool, notices: list[str]
) -> tuple[Images | StreamedImages, ...]:
    """Load the data set; with `--smoke` what is not there is synthetic instead of downloaded, as `notices` then say."""
    if not smoke:
        return _loaded(data_set, folder)
    data_set.download = False
    try:
        return _loaded(data_set, folder)
    except UserError as error:
        notices.append(f"--smoke: synthetic images of its shape replace the data set: {error}")
        return placeholder(data_set, SYNTHETIC)


def _loaded(data_set: DataSet, folder: Path) -> tuple[Images | StreamedImages, ...]:
    """Load the data set. Raises `UserError` where a file or a folder of it cannot be read."""
    try:
        return data_set.load(folder)
    except OSError as error:
        if error.filename is None:
            raise
        raise UserError(f"--data_dir {folder}: {error.filename}: {error.strerror}") from error


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


def _split(
    images: Images | StreamedImages, options: DataOptions
) -> tuple[Images | StreamedImages, Images | StreamedImages]:
    """Hold out `--num_valid` images, of each class its share, or a tenth of each class.

    They are always the same ones, so that no run trains on what another is evaluated on.
    """
    classes = [(images.labels == label).nonzero().flatten() for label in images.labels.unique()]
    number = options.num_valid
    if number is not None and number >= len(images):
        raise UserError(f"--num_valid {number}: there are {len(images):,} training images, and some must be left")
    counts = _shares([len(members) for members in classes], number)
    generator = seeded_generator(0, "validation split")
    held_out = torch.zeros(len(images), dtype=torch.bool)
    for members, count in zip(classes, counts, strict=True):
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[:count]]] = True
    if not held_out.any():
        flag = "--tuning" if options.tuning else "--keep_best"
        raise UserError(
            f"{flag}: {len(images)} training images are too few to hold a tenth of each class out: --num_valid says "
            "how many"
        )
    return images.subset((~held_out).nonzero().flatten()), images.subset(held_out.nonzero().flatten())


def _shares(sizes: list[int], number: int | None) -> list[int]:
    """How many of each class are held out: a tenth, or `number` in all, rounded by the largest remainders."""
    if number is None:
        return [round(VALIDATION_SHARE * size) for size in sizes]
    exact = [number * size / sum(sizes) for size in sizes]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda place: counts[place] - exact[place])
    for place in by_remainder[: number - sum(counts)]:
        counts[place] += 1
    return counts


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
