"""Data sets whose files torchvision knows how to fetch and read."""

import contextlib
import io
from pathlib import Path

import torch

from utils.data.data_set import Images
from utils.errors import UserError, one_line
from utils.torchvision_import import torchvision


def load_torchvision(name: str, folder: Path, where: Path) -> tuple[Images, Images]:
    """Read the data set `torchvision.datasets.<name>` below `folder`, downloading it where it is not there.

    `where` is the folder its files belong in. Raises `UserError` where they are missing and cannot be downloaded, or
    damaged: it says which files, which folder and which address.
    """
    kind = getattr(torchvision.datasets, name)
    parts = []
    for train in (True, False):
        try:
            # torchvision reports its attempts with print
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                parts.append(kind(str(folder), train=train, download=True))
        except Exception as error:  # of torchvision's readers, which raise whatever the bytes make them
            for empty in (where, where.parent):
                with contextlib.suppress(OSError):
                    empty.rmdir()  # torchvision made it for the download
            reason = one_line(error)
            raise UserError(
                f"{name} cannot be read: {_advice(kind, where)} ({type(error).__name__}: {reason})"
            ) from error
    for part in parts:
        if len(part.data) != len(part.targets):
            raise UserError(f"{name} is damaged: {len(part.data)} images but {len(part.targets)} labels in {where}")
        highest = int(torch.as_tensor(part.targets).max())
        if highest >= len(kind.classes):
            raise UserError(f"{name} is damaged: a label in {where} is {highest}, of {len(kind.classes)} classes")
    return tuple(Images(_pixels(part.data), torch.as_tensor(part.targets).long()) for part in parts)


def _advice(kind: type, where: Path) -> str:
    files = [file for file, _checksum in kind.resources]
    return f"put {', '.join(files)} from {kind.mirrors[0]} into {where}, or delete damaged ones there"


def _pixels(data: torch.Tensor) -> torch.Tensor:
    """Bring images (N, H, W) to (N, 1, H, W)."""
    return data[:, None].contiguous()
