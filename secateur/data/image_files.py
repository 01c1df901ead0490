"""Image files: listed by class, then decoded once into one memory-mapped array, or streamed where that is too large."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from secateur.data.data_set import DataSet, Images
from secateur.data.decoding import decode
from secateur.data.streaming import StreamedImages
from secateur.runs.files import checksum_of, read_checksummed, write_json
from secateur.utils.errors import UserError
from secateur.utils.memory import free_memory

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
#: Below the folder of the images; may be deleted at any time.
CACHE = ".secateur"
#: Bytes that NumPy may write before an array.
LONGEST_HEADER = 2**16
#: Of the memory that is free, what decoded images may take: the network needs some, and so do the caches of files.
SHARE_OF_MEMORY = 0.5


@dataclass
class ImageFiles:
    """Image files below `folder`, and the class of each."""

    folder: Path
    files: list[str]
    labels: list[int]


def class_folders(folder: Path) -> list[str]:
    """Return the names of the classes, sorted: the folders within `folder` that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_classes(folder: Path, classes: Sequence[str]) -> ImageFiles:
    """List the images of a folder of class folders, in the order of their names, at any depth."""
    found = ImageFiles(folder, [], [])
    for label, name in enumerate(classes):
        inside = sorted(
            os.path.join(place, file)  # noqa: PTH118 - a path object for each of a million files takes seconds
            for place, _folders, files in os.walk(folder / name, onerror=_raise)
            for file in files
            if os.path.splitext(file)[1].lower() in ENDINGS  # noqa: PTH122
        )
        check_files(inside)
        if not inside:
            raise UserError(f"{folder / name} holds no images ({', '.join(sorted(ENDINGS))})")
        found.files += inside
        found.labels += [label] * len(inside)
    return found


def check_files(files: Sequence[str]) -> None:
    """Refuse what has the name of an image and is not a file, before one of them is opened: a pipe would never end."""
    for file in files:
        if not os.path.isfile(file):  # noqa: PTH113
            if os.path.islink(file):  # noqa: PTH114
                target = os.readlink(file)  # noqa: PTH115
                raise UserError(f"the image {file} is a broken link to {target}: remove or repair it")
            os.stat(file)  # noqa: PTH116 - raises of what may not be looked at
            raise UserError(f"the image {file} is not a file")


def _raise(error: OSError) -> NoReturn:
    """A folder that cannot be read is not passed over."""
    raise error


def load_image_files(
    parts: Sequence[ImageFiles], shape: tuple[int, int, int], data_set: DataSet
) -> list[Images] | list[StreamedImages]:
    """Return images of `shape` (C, H, W): in memory if all parts fit there or `--preload_all_data` is given.

    Otherwise they are streamed from their files; the pixels are the same.
    """
    size = sum(len(part.files) for part in parts) * math.prod(shape)
    if data_set.preload_all_data or size <= SHARE_OF_MEMORY * free_memory(data_set.device):
        return [preloaded(part, shape) for part in parts]
    return [StreamedImages(part.files, torch.tensor(part.labels), shape, shape) for part in parts]


def preloaded(part: ImageFiles, shape: tuple[int, int, int]) -> Images:
    """Return the images in memory, of `shape` (C, H, W).

    What is smaller or larger is resized until it covers the shape, and the middle is taken. The decoded images are
    kept in .secateur in the part's folder as one array, which is mapped into memory from then on; it is made anew
    where the names, sizes or times of the files have changed, and where it is damaged. Without permission to write
    there the images are decoded each time.
    """
    all_of_them = (len(part.files), *shape)
    key = _key(part, shape)
    cached = part.folder / CACHE / f"{'x'.join(map(str, shape))}.npy"
    pixels = _mapped(cached, key, all_of_them)
    if pixels is None:
        pixels = _decoded(part.files, shape)
        if _store(cached, key, pixels):
            mapped = _mapped(cached, key, all_of_them)
            pixels = pixels if mapped is None else mapped
    return Images(torch.from_numpy(pixels), torch.tensor(part.labels))


def _key(part: ImageFiles, shape: tuple[int, int, int]) -> str:
    """A fingerprint of which files are to be decoded to which shape."""
    start = len(str(part.folder))
    facts = [f"fitted to {shape}"]
    for file in part.files:
        found = os.stat(file)  # noqa: PTH116
        facts.append(f"{file[start:]}\0{found.st_size}\0{found.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode(errors="replace")).hexdigest()


def _mapped(cached: Path, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array on disk, or None where there is none, of other files, or a damaged one."""
    try:
        said = read_checksummed(cached.with_suffix(".json"))
        # The checksum costs less than a tenth of a second for 60,000 small images, which are read here anyway; that of
        # a file that was made longer, by however much, is not needed.
        longest = math.prod(shape) + LONGEST_HEADER
        if said.get("key") != key or cached.stat().st_size > longest or said.get("crc32") != checksum_of(cached):
            return None
        array = np.load(cached, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _store(cached: Path, key: str, pixels: np.ndarray) -> bool:
    """Write the array so that no reader ever sees half of it; returns whether that was possible."""
    aside = cached.with_name(f"{cached.name}.{os.getpid()}")
    try:
        cached.parent.mkdir(exist_ok=True)
        with aside.open("wb") as file:
            np.save(file, pixels, allow_pickle=False)
        aside.replace(cached)
        write_json(cached.with_suffix(".json"), {"key": key, "crc32": checksum_of(cached)})
    except OSError:
        aside.unlink(missing_ok=True)
        return False
    return True


def _decoded(files: list[str], shape: tuple[int, int, int]) -> np.ndarray:
    pixels = np.empty((len(files), *shape), np.uint8)

    def fill(number: int) -> None:
        pixels[number] = decode(files[number], shape)

    # Decoding leaves Python's lock; opening does not, so more threads than cores gain nothing.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        console, shown = Console(stderr=True), sys.stderr.isatty()
        done = pool.map(fill, range(len(files)))
        for _ in track(done, "decoding images", total=len(files), console=console, disable=not shown):
            pass
    return pixels
