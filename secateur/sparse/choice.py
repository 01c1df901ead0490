"""Which layers run by their lists: those that are faster so on this machine, if the whole network then is faster."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secateur.sparse.convolution import to_blocks
from secateur.sparse.layer import SparseLayer, is_executable

#: A layer of which more is left is faster dense, as measured on AVX-512 and AVX2 machines alike.
BREAK_EVEN = 0.35
#: Denser layers are not even tried.
NEVER = 0.6
#: What is chosen instead of the dense network has to be faster by this factor, more than what measurements scatter.
GAIN = 1.03
#: Seconds for which the ways to run the whole network, and those to run a layer, take turns.
SECONDS, LAYER_SECONDS = 1.0, 0.1


@dataclass
class Choice:
    """How a network is run, and what that was chosen by."""

    #: Names of the layers that run by their lists; none is dense.
    layers: list[str] = field(default_factory=list)
    #: Whether idle channels are left out first.
    compacted: bool = False
    #: Median milliseconds of the ways that were tried, for so many images.
    milliseconds: dict[str, float] = field(default_factory=dict)
    images: int = 0

    def __str__(self) -> str:
        if not self.layers:
            return "compacted" if self.compacted else "dense"
        return f"{'compacted, ' if self.compacted else ''}{len(self.layers)} layers sparse"


def densities(network: nn.Module, kept: dict[str, Tensor] | None = None) -> dict[str, float]:
    """The fraction of its weights that each layer has to compute, of those that can run by lists, by name.

    Those that masks keep, where there are masks; else those that are not zero.
    """
    found = {}
    for name, layer in network.named_modules():
        if is_executable(layer):
            there = layer.weight.detach() if kept is None else kept.get(name)
            found[name] = 1.0 if there is None else float(there.count_nonzero()) / layer.weight.numel()
    return found


def by_density(network: nn.Module, kept: dict[str, Tensor] | None = None) -> list[str]:
    """The layers that are sparse enough."""
    return [name for name, density in densities(network, kept).items() if density <= BREAK_EVEN]


def median_times(calls: dict[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """The median seconds of each call; they take turns for `budget` seconds, three at least, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    start = time.perf_counter()
    while time.perf_counter() - start < budget or len(next(iter(times.values()))) < 3:
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - before)
    return {name: statistics.median(taken) for name, taken in times.items()}


@torch.no_grad()
def faster_layers(network: nn.Module, images: Tensor, in_blocks: bool) -> list[str]:
    """The layers that run faster by their lists than dense, each tried on inputs of its shape."""
    candidates = {name for name, density in densities(network).items() if density <= NEVER}
    inputs: dict[str, Tensor] = {}

    def note(name: str, _layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs[name] = torch.rand_like(arguments[0])

    handles = [network.get_submodule(name).register_forward_pre_hook(partial(note, name)) for name in candidates]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for name in (name for name, _ in network.named_modules() if name in inputs):
        layer, given = network.get_submodule(name), inputs.pop(name)
        if given.dim() not in (2, 4):
            continue
        sparse = SparseLayer(layer)
        same = to_blocks(given) if in_blocks else given.contiguous()
        calls = {"dense": lambda: layer(given), "sparse": lambda: sparse(same)}  # noqa: B023 - called at once
        times = median_times(calls, LAYER_SECONDS)
        if times["sparse"] < times["dense"]:
            found.append(name)
    return found


def fastest(ways: dict[str, nn.Module], images: Tensor) -> tuple[str, dict[str, float]]:
    """Return which way to run a network is the fastest, `dense` in doubt, and the milliseconds of each."""
    with torch.no_grad():
        calls = {name: lambda way=way: way(images) for name, way in ways.items()}
        times = median_times(calls, SECONDS)
    best = min(times, key=times.__getitem__)
    if times[best] * GAIN > times["dense"]:
        best = "dense"
    return best, {name: 1000 * taken for name, taken in times.items()}


def fastest_to_train(dense: nn.Module, sparse: nn.Module, images: Tensor) -> tuple[str, dict[str, float]]:
    """The same for a step of training, forward and backward, without touching parameters' gradients or statistics."""

    def step(network: nn.Module) -> Callable[[], object]:
        return lambda: network(images).square().mean().backward()

    times = median_times({"dense": step(dense), "sparse": step(sparse)}, SECONDS)
    best = "sparse" if times["sparse"] * GAIN < times["dense"] else "dense"
    return best, {name: 1000 * taken for name, taken in times.items()}


class Notes:
    """Choices written down, so that the same network is run in the same way again on this machine.

    Parameters: `own`, those that this network was run by, by name, which count before those on disk.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        kept: dict[str, Tensor] | None,
        mode: tuple[bool, ...],
        own: dict[str, dict[str, Any]],
    ) -> None:
        layers = [
            (name, tuple(layer.weight.shape), round(density * layer.weight.numel()))
            for name, density in densities(network, kept).items()
            for layer in [network.get_submodule(name)]
        ]
        self._names = {name for name, _, _ in layers}
        said = repr((machine(), type(network).__name__, tuple(images.shape), mode, layers))
        self.name = hashlib.sha256(said.encode()).hexdigest()[:32]
        self.path, self.own = cache_folder() / f"{self.name}.json", own

    def read(self) -> Choice | None:
        """Return what was written; None where nothing readable was."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = self.own[self.name] if self.name in self.own else json.loads(self.path.read_text())
            choice = Choice(**found)
            if self._names.issuperset(choice.layers):
                self.own[self.name] = found
                return choice
        return None

    def write(self, choice: Choice) -> None:
        """Keep the choice; where nothing can be kept on disk another process makes it again."""
        self.own[self.name] = asdict(choice)
        keep(self.path, self.own[self.name])


def keep(path: Path, content: Any) -> None:
    """Write as json what was measured, whole; where nothing can be kept it is measured again."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(content))
        part.replace(path)


def cache_folder(what: str = "execution") -> Path:
    """Where choices are kept, or other things that were measured."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "secateur" / what


def machine() -> tuple[object, ...]:
    """What the time of an operation depends on, beside the operation."""
    return platform.machine(), _processor(), torch.get_num_threads(), torch.__version__, platform.node()


def _processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line for line in lines if line.startswith("model name")), "")
    return platform.processor()
