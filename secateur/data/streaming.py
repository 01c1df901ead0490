"""Images that stay in their files: other processes decode them, batch by batch, while the network works."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from secateur.data.conversion import check_channels, converted
from secateur.data.decoding import decode
from secateur.parallel.collectives import size
from secateur.parallel.parent import end_with
from secateur.utils.errors import UserError

#: More decode faster than most networks train, and each takes memory.
MOST_WORKERS = 8


@dataclass
class StreamedImages:
    """Labelled images in `files`, as `Images` are in memory: what each method gives is the same, bit for bit.

    `labels` are int64 (N,), on the device that the batches go to. The files are decoded to `decoded_shape` (C, H, W),
    then resized to `shape`.
    """

    files: list[str]
    labels: Tensor
    decoded_shape: tuple[int, int, int]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: Tensor) -> StreamedImages:
        """The images at these positions, int64 (n,)."""
        files = [self.files[position] for position in positions.tolist()]
        return replace(self, files=files, labels=self.labels[positions])

    def to(self, device: torch.device) -> StreamedImages:
        """The same images, with batches on `device`."""
        return replace(self, labels=self.labels.to(device))

    def converted(self, shape: tuple[int, int, int]) -> StreamedImages:
        """The images resized, and turned from grey to colour or the other way, to `shape` (C, H, W)."""
        check_channels(self.decoded_shape[0], shape[0])
        return replace(self, shape=shape)

    def batches(self, spans: Sequence[tuple[int, int]], order: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels (B, C, H, W) and labels (B,) from the start to the stop of each span, on the labels' device.

        The positions that the spans count are those in `order`, int64 (N,), where it is given. The processes that
        decode end with the iteration, also where it is left early. Raises `UserError` for a file that is no image.
        """
        device = self.labels.device
        positions = torch.arange(len(self)) if order is None else order.cpu()
        labels = self.labels if order is None else self.labels[order.to(device)]
        workers = min(_cores(), MOST_WORKERS, len(spans))
        loader = DataLoader(
            _Decoded(self.files, self.decoded_shape),
            batch_size=None,  # the sampler tells whole batches
            sampler=[positions[start:stop].tolist() for start, stop in spans],
            num_workers=workers,
            multiprocessing_context=_start_method() if workers else None,
            worker_init_fn=_EndWith(os.getpid()) if _forks() else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # else it would draw from the global one
        )
        for (start, stop), pixels in zip(spans, loader, strict=True):
            if isinstance(pixels, UserError):
                raise pixels
            yield converted(pixels.to(device, non_blocking=True), self.shape), labels[start:stop]


class _Decoded(Dataset):
    """The pixels at a list of positions, uint8 (B, C, H, W); works in the other processes."""

    def __init__(self, files: list[str], shape: tuple[int, int, int]) -> None:
        self.files, self.shape = files, shape

    def __getitem__(self, positions: list[int]) -> Tensor | UserError:
        try:
            return torch.from_numpy(np.stack([decode(self.files[position], self.shape) for position in positions]))
        except UserError as error:
            # An error that is raised arrives with a traceback in its message; one that is returned stays one line.
            return UserError(str(error))


@dataclass
class _EndWith:
    """Ends a process that decodes with the run that started it.

    torch looks whether the parent of then is still there, and a run that was killed before has handed its children on.
    """

    parent: int

    def __call__(self, _worker: int) -> None:
        end_with(self.parent, signal.SIGKILL)


def _start_method() -> BaseContext | None:
    """How processes that decode start: forked, but not beside the threads of a process group.

    A fork copies locks as they are, and one that another thread holds is never released in the copy. Of a run that is
    alone the threads that show and log hold none that decoding needs, and a fork need not be told all file names.
    """
    if size() == 1:
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _forks() -> bool:
    """Whether they are children of this process: those of a grid's runs come from the server that forked these."""
    return size() == 1 and multiprocessing.get_start_method() == "fork"


def _cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
