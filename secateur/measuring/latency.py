"""How long a network takes, by the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from secateur.utils.modes import evaluation_mode

if TYPE_CHECKING:
    from secateur.runs.run import Run

BATCH_SIZES = (1, 64)
#: Each batch size is measured for so long, but at most so often.
SECONDS, MOST_TIMES = 1.0, 200
#: A batch that would take longer, going by smaller ones, is left out.
LONGEST = 10.0


def latency_figures(run: Run) -> dict[str, object]:
    """Return the milliseconds of a batch of 1 and of 64 images, of the network as it is and of the dense one.

    On the run's device and in its precision; None where a batch takes too long to try.
    """
    networks = {"latency_ms": run.executed, "latency_dense_ms": dense_network(run)}
    return {
        f"{name}_batch_{size}": value
        for size, taken in latencies(run, networks, BATCH_SIZES).items()
        for name, value in taken.items()
    }


def dense_network(run: Run) -> nn.Module:
    """The run's network before anything was pruned, with fresh weights, on its device and in its layout."""
    return run.fresh_network(run.options.seed).to(run.device, memory_format=_layout(run))


def latencies(
    run: Run, networks: dict[str, nn.Module], batch_sizes: Sequence[int], budget: float = SECONDS
) -> dict[int, dict[str, float | None]]:
    """Return the milliseconds of a batch, by its size and by network, in the run's precision, on random images.

    The networks take turns for `budget` seconds at each size; None where a batch takes too long to try.
    """
    figures: dict[int, dict[str, float | None]] = {}
    slowest = 0.0  # in seconds an image, at the size before
    for size in sorted(batch_sizes):
        figures[size] = dict.fromkeys(networks)
        if slowest * size < LONGEST:
            images = torch.rand(size, *run.example.shape[1:], device=run.device)
            with run.precision.autocast():
                for network in networks.values():
                    prepare(network, images)
                seconds = median_seconds(networks, images.contiguous(memory_format=_layout(run)), budget)
            slowest = max(seconds.values()) / size
            figures[size] = {name: 1000 * value for name, value in seconds.items()}
    return figures


@torch.no_grad()
def prepare(network: nn.Module, images: Tensor) -> None:
    """Let an accelerated network choose how it is run, which is no part of what it takes to run it."""
    if hasattr(network, "choices"):
        with evaluation_mode(network):
            network(images)


def _layout(run: Run) -> torch.memory_format:
    return torch.channels_last if run.machine.channels_last else torch.contiguous_format


@torch.no_grad()
def median_seconds(
    networks: dict[str, nn.Module],
    images: Tensor,
    budget: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    least: int = 0,
) -> dict[str, float]:
    """Return the median seconds of each network for `images` (N, C, H, W), in evaluation mode.

    The networks take turns, so that whatever else the machine does meets all of them. The first turn warms up, and
    counts where it has used up the `budget` of seconds by itself and no other is asked for: `least` that follow it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    start = clock()
    while True:
        for name, network in networks.items():
            with evaluation_mode(network):
                _wait(images.device)
                before = clock()
                network(images)
                _wait(images.device)
                seconds[name].append(clock() - before)
        turns = len(next(iter(seconds.values())))
        if (clock() - start > budget and turns > least) or turns > MOST_TIMES:
            return {name: statistics.median(times[1:] or times) for name, times in seconds.items()}


def _wait(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
