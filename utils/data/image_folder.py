"""Folders of image files, one folder a class: decoded once, then read from one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from utils.data.data_set import Images
from utils.errors import UserError, one_line
from utils.run.files import write_json

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
#: Below the folder of the images; may be deleted at any time.
CACHE = ".secateur"


def class_folders(folder: Path) -> list[str]:
    """Return the names of the classes, sorted: the folders within `folder` that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def load_image_folder(
    folder: Path, classes: list[str], size: tuple[int, int], progress: Callable[[int, int], None]
) -> Images:
    """Return the images of a folder of class folders as uint8 (N, 3, H, W), in the order of their names.

    What is smaller or larger than `size` (H, W) is resized until it covers it, and the middle is taken. The decoded
    images are kept in `folder`/.secateur as one array, which is mapped into memory from then on; it is made anew where
    the names, sizes or times of the files have changed, and where it is damaged. Without permission to write there the
    images are decoded each time. `progress(done, of)` is called now and then.
    """
    files, labels = _files(folder, classes)
    shape = (len(files), 3, *size)
    key = _key(folder, files, size)
    cached = folder / CACHE / f"{size[0]}x{size[1]}.npy"
    pixels = _mapped(cached, key, shape)
    if pixels is None:
        pixels = _decoded(files, shape, progress)
        if _store(cached, key, pixels):
            mapped = _mapped(cached, key, shape)
            pixels = pixels if mapped is None else mapped
    return Images(torch.from_numpy(pixels), torch.tensor(labels))


def _files(folder: Path, classes: list[str]) -> tuple[list[Path], list[int]]:
    files, labels = [], []
    for label, name in enumerate(classes):
        inside = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in ENDINGS)
        if not inside:
            raise UserError(f"{folder / name} holds no images ({', '.join(sorted(ENDINGS))})")
        files += inside
        labels += [label] * len(inside)
    return files, labels


def _key(folder: Path, files: list[Path], size: tuple[int, int]) -> str:
    """A fingerprint of which files are to be decoded to which size."""
    digest = hashlib.sha256(repr(size).encode())
    for file in files:
        facts = file.stat()
        digest.update(f"{file.relative_to(folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def _mapped(cached: Path, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array on disk, or None where there is none, of other files, or a damaged one."""
    try:
        if json.loads(cached.with_suffix(".json").read_text()) != {"key": key, "bytes": cached.stat().st_size}:
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
        write_json(cached.with_suffix(".json"), {"key": key, "bytes": cached.stat().st_size})
    except OSError:
        aside.unlink(missing_ok=True)
        return False
    return True


def _decoded(files: list[Path], shape: tuple[int, ...], progress: Callable[[int, int], None]) -> np.ndarray:
    pixels = np.empty(shape, np.uint8)

    def decode(number: int) -> None:
        try:
            with Image.open(files[number]) as image:
                image.draft("RGB", (shape[3], shape[2]))  # JPEG: decode no larger than needed
                pixels[number] = np.asarray(_covering(image.convert("RGB"), shape[3], shape[2])).transpose(2, 0, 1)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(f"the image {files[number]} cannot be read: {one_line(error)}") from error

    # Decoding leaves Python's lock; opening does not, so more threads than cores gain nothing.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(files)), chunksize=256), start=1):
            if done % 1000 == 0 or done == len(files):
                progress(done, len(files))
    return pixels


def _covering(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize until both sides are covered, and take the middle."""
    scale = max(width / image.width, height / image.height)
    if scale != 1:
        image = image.resize((max(round(image.width * scale), width), max(round(image.height * scale), height)))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
