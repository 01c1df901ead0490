"""Data sets whose files torchvision knows how to fetch and read."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from secateur.data.data_set import Images, check_labels
from secateur.utils.errors import UserError, one_line
from secateur.utils.torchvision_import import torchvision


def load_torchvision(name: str, folder: Path, where: Path, *, download: bool = True) -> tuple[Images, Images]:
    """Read the idx files of `torchvision.datasets.<name>` below `folder`, downloading them where they are not there.

    `where` is the folder they belong in. Raises `UserError` where they are missing and cannot be downloaded, or
    damaged: it says which files, which folder and which address.
    """
    kind = getattr(torchvision.datasets, name)
    parts = _read_both(name, folder, where, lambda: _advice(kind, where), download=download)
    sets, files = [], _files(kind, where)
    for part, (images, labels) in zip(parts, (files[:2], files[2:]), strict=True):
        if len(part.data) != len(part.targets):
            numbers = f"{len(part.data)} images in {images.name} but {len(part.targets)} labels in {labels}"
            raise UserError(f"{name} is damaged: {numbers}")
        targets = torch.as_tensor(part.targets).long()
        check_labels(targets, len(kind.classes), f"{name} is damaged: the labels in {labels}")
        sets.append(Images(_pixels(part.data), targets))
    return tuple(sets)


def load_cifar(name: str, folder: Path, *, download: bool = True) -> tuple[Images, Images]:
    """Read CIFAR10 or CIFAR100 below `folder`, downloading it where it is not there.

    The files are pickles, which torchvision reads only where their checksums are those of the published ones. Raises
    `UserError` where they are missing and cannot be downloaded, or are others.
    """
    kind = getattr(torchvision.datasets, name)
    where = folder / kind.base_folder

    def advice() -> str:
        files = [where / file for file, _checksum in (*kind.train_list, *kind.test_list)]
        missing = ", ".join(file.name for file in files if not file.exists())
        fault = f"{missing} missing" if missing else "its files are not the published ones"
        return f"{fault}: unpack {kind.filename} from {kind.url} into {folder}, as {where}"

    return tuple(
        Images(torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(part.targets).long())
        for part in _read_both(name, folder, where, advice, download=download)
    )


def fetch(
    name: str, folder: Path, where: Path, advice: Callable[[], str], *, download: bool = True, **options: Any
) -> Any:
    """Let torchvision's data set `name` read, and where needed `download`, its files below `folder`, into `where`.

    Raises `UserError` with the `advice` where that fails.
    """
    try:
        # torchvision reports its attempts with print
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return getattr(torchvision.datasets, name)(str(folder), download=download, **options)
    except Exception as error:  # of torchvision's readers, which raise whatever the bytes make them
        for empty in (where, where.parent):
            with contextlib.suppress(OSError):
                empty.rmdir()  # torchvision made it for the download
        raise UserError(f"{name} cannot be read: {advice()} ({type(error).__name__}: {one_line(error)})") from error


def _read_both(name: str, folder: Path, where: Path, advice: Callable[[], str], *, download: bool) -> list[Any]:
    """Read the training and the test part."""
    return [fetch(name, folder, where, advice, download=download, train=train) for train in (True, False)]


def _files(kind: type, where: Path) -> list[Path]:
    """The unpacked files: images and labels for training, then for testing."""
    return [where / file.removesuffix(".gz") for file, _checksum in kind.resources]


def _advice(kind: type, where: Path) -> str:
    """Say which files are missing or damaged, and how to put that right."""
    files = _files(kind, where)
    missing = [file.name for file in files if not (file.exists() or file.with_name(f"{file.name}.gz").exists())]
    damaged = [file.name for file in files if file.exists() and not _readable(file)]
    faults = [f"{' and '.join(names)} {word}" for names, word in ((missing, "missing"), (damaged, "damaged")) if names]
    packed = ", ".join(file for file, _checksum in kind.resources)
    return f"{', '.join(faults)}: put {packed} from {kind.mirrors[0]} into {where}, and delete damaged files there"


def _readable(file: Path) -> bool:
    """Whether it is a whole file of bytes, of three dimensions for images and one for labels."""
    try:
        content = torchvision.datasets.mnist.read_sn3_pascalvincent_tensor(str(file))
    except Exception:  # of torchvision's reader, which raises whatever the bytes make it
        return False
    return content.dtype == torch.uint8 and content.dim() == (3 if "images" in file.name else 1)


def _pixels(data: torch.Tensor) -> torch.Tensor:
    """Bring images (N, H, W) to (N, 1, H, W)."""
    return data[:, None].contiguous()
