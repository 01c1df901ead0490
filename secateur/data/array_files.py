"""Images and labels in the arrays of a NumPy file."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch

from secateur.data.data_set import Images
from secateur.data.image_files import free_memory
from secateur.utils.errors import UserError, one_line, shortened

PARTS = ("train", "test")


def load_arrays(place: Path, axes: str | None) -> tuple[Images, Images]:
    """Read x_train, y_train, x_test and y_test of an .npz file, or of the only one in a folder.

    The images are uint8, or floating-point in [0, 1], of shape (N, H, W), (N, H, W, C) or (N, C, H, W); `axes` says
    NHWC or NCHW where the shape does not tell. Nothing is unpickled. Raises `UserError` where something is missing, of
    another type or shape, or ambiguous.
    """
    file = _file(place)
    if not is_zipfile(file):
        raise UserError(
            f"ARRAYS: {file} is not an .npz file: numpy.savez(file, x_train=..., y_train=..., ...) writes one"
        )
    try:
        _check_size(file)
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            missing = [name for part in PARTS for name in (f"x_{part}", f"y_{part}") if name not in content]
            if missing:
                names = shortened(", ".join(content), 300) or "none"
                raise UserError(f"ARRAYS: {file} has no array {missing[0]}; it has {names}")
            train, test = (
                Images(
                    _pixels(content[f"x_{part}"], f"x_{part} of {file}", axes),
                    _labels(content[f"y_{part}"], f"y_{part} of {file}"),
                )
                for part in PARTS
            )
    except UserError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile, MemoryError) as error:
        raise UserError(f"ARRAYS: {file} cannot be read as an .npz file without pickles: {one_line(error)}") from error
    for part, images in zip(PARTS, (train, test), strict=True):
        if not len(images) or len(images.pixels) != len(images):
            counts = f"{len(images.pixels)} images in x_{part}, {len(images)} labels in y_{part}"
            raise UserError(f"ARRAYS: {file} holds {counts}: there must be as many of both")
    if train.shape != test.shape:
        raise UserError(f"ARRAYS: the images in {file} are {train.shape} for training but {test.shape} for testing")
    return train, test


def _check_size(file: Path) -> None:
    """Refuse, unread, what unpacks to more than there is memory for."""
    with ZipFile(file) as archive:
        size, free = sum(info.file_size for info in archive.infolist()), free_memory(torch.device("cpu"))
    if size > free:
        raise UserError(f"ARRAYS: {file} unpacks to {size:,} bytes, and {free:,} are free")


def _file(place: Path) -> Path:
    """The .npz file itself, or the only one in the folder."""
    found = [place] if place.is_file() else sorted(place.glob("*.npz"))
    if len(found) == 1:
        return found[0]
    names = f"{len(found)} (such as {found[0].name})" if found else "none"
    raise UserError(f"ARRAYS: --data_dir must name an .npz file, or a folder that holds one: {place} holds {names}")


def _pixels(array: np.ndarray, what: str, axes: str | None) -> torch.Tensor:
    """Bring images to uint8 (N, C, H, W)."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4:
        axes = axes or _axes(array.shape, what)
        array = array.transpose(0, 3, 1, 2) if axes == "NHWC" else array
    else:
        raise UserError(f"ARRAYS: {what} is of shape {array.shape}: (N, H, W), (N, H, W, C) or (N, C, H, W) is needed")
    if not array.size:
        raise UserError(f"ARRAYS: {what} is of shape {array.shape}, which holds no pixel")
    if array.dtype.kind == "f":
        # NaN compares false
        if not (array.size and array.min() >= 0 and array.max() <= 1):
            raise UserError(f"ARRAYS: {what} is {array.dtype}, and not all from 0 to 1: scale it, or store uint8")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise UserError(f"ARRAYS: {what} is {array.dtype}: uint8 from 0 to 255 or floats from 0 to 1 are needed")
    return torch.from_numpy(np.ascontiguousarray(array))


def _axes(shape: tuple[int, ...], what: str) -> str:
    """Which axis of four is that of the channels: the one of length 1 or 3."""
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first == last:
        why = "both the second and the last axis could" if first else "neither the second nor the last axis seems to"
        raise UserError(f"ARRAYS: {what} is of shape {shape}: {why} be the channels (1 or 3); say --axes NHWC or NCHW")
    return "NCHW" if first else "NHWC"


def _labels(array: np.ndarray, what: str) -> torch.Tensor:
    """Bring labels to int64 (N,)."""
    if array.dtype.kind not in "iu" or not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise UserError(f"ARRAYS: {what} is {array.dtype} {array.shape}: whole numbers of shape (N,) are needed")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))
