"""The authors' programs, called as they are: what each scores and keeps of a network and a batch that one has.

Nothing of them is part of this repository. `Program.opened()` imports from a folder that the reader has cloned them
into, and forgets the modules afterwards, since most of them name their packages alike. Where a program asks for a GPU,
draws weights anew or has a word that Python no longer knows, the function that calls it says so.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
ByLayer = dict[str, Tensor]


@dataclass
class Found:
    """What was found: scores by layer (None where there are none to compare), and what is kept, boolean."""

    scores: ByLayer | None
    kept: ByLayer


@dataclass(frozen=True)
class Program:
    """A repository of the authors: its folder below that of all, where it comes from, and the commit compared with."""

    folder: str
    url: str
    commit: str
    #: Where in it the modules lie.
    inside: str = "."

    @contextlib.contextmanager
    def opened(self, root: Path, **stubs: dict[str, Any]) -> Iterator[Callable[[str], Any]]:
        """Yield a function that imports a module of the program, silent; `stubs` stand in for modules it only names."""
        before, path = set(sys.modules), str((root / self.folder / self.inside).resolve())
        sys.path.insert(0, path)
        for name, attributes in stubs.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(attributes)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                yield importlib.import_module
        finally:
            sys.path.remove(path)
            for name in set(sys.modules) - before:
                if name in stubs or str(getattr(sys.modules[name], "__file__", "")).startswith(path):
                    del sys.modules[name]


SNIP = Program("snip", "https://github.com/mil-ad/snip", "883c8050d88554a8d85083013d7d1ddd7ead54c4")
SNIP_IT = Program("SNIP-it", "https://github.com/StijnVerdenius/SNIP-it", "fec11fcda3038d9ad7246ddb1ee9889049f03fc8")
GRASP = Program("GraSP", "https://github.com/alecwangcq/GraSP", "f17d87ac537bfce476ac2424171a8b6eb56499db")
SYNFLOW = Program(
    "Synaptic-Flow", "https://github.com/ganguli-lab/Synaptic-Flow", "9dfa57aa4012c34028ee646d367f18e32f0e3bc7"
)
FORCE = Program("force", "https://github.com/naver/force", "7494eed332b0494c283d6f3a2ed7a033895a6ccb")
MERGING = Program(
    "neuron-merging", "https://github.com/friendshipkim/neuron-merging", "d25cf3e39ecf376a1ffc8b3cbf326a38b6db19cf"
)
RIGL = Program("rigl-torch", "https://github.com/nollied/rigl-torch", "34d19e4eb2df58862fd8f38b685ff693246ba478")
SET = Program(
    "sparse-evolutionary-artificial-neural-networks",
    "https://github.com/dcmocanu/sparse-evolutionary-artificial-neural-networks",
    "62ac9748258a06c2bf68c40cdd2f07e9119640dd",
    inside="SET-MLP-Sparse-Python-Data-Structures",
)
GATES = Program(
    "gate-decorator-pruning",
    "https://github.com/youzhonghui/gate-decorator-pruning",
    "05e4c3125b0216a539267c45e246bc7de20726d5",
)
TAYLOR = Program(
    "Taylor_pruning", "https://github.com/NVlabs/Taylor_pruning", "4b70120a8903494cdb565cd8ca97509543fd2862"
)
MOVEMENT = Program(
    "block_movement_pruning",
    "https://github.com/huggingface/block_movement_pruning",
    "c16cecafb9db2636250487064e00896a77772a3a",
    inside="block_movement_pruning/emmental",
)
PROGRAMS = [SNIP, SNIP_IT, GRASP, SYNFLOW, FORCE, MERGING, RIGL, SET, GATES, TAYLOR, MOVEMENT]


def weighted(network: nn.Module) -> dict[str, nn.Module]:
    """The Linear layers and convolutions by name, in the network's order."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}


def by_layer(network: nn.Module, row: Tensor) -> ByLayer:
    """Cut a row of numbers, one for each weight in the network's order, into the layers' shapes."""
    layers = {name: layer.weight for name, layer in weighted(network).items()}
    parts = row.detach().clone().split([weight.numel() for weight in layers.values()])
    return {name: part.view_as(weight) for (name, weight), part in zip(layers.items(), parts, strict=True)}


@contextlib.contextmanager
def ranked() -> Iterator[list[Tensor]]:
    """Collect what is given to `torch.topk`: programs that return masks alone rank all their scores by it."""
    seen, topk = [], torch.topk

    def spy(scores: Tensor, *arguments: Any, **options: Any) -> Any:
        seen.append(scores.detach().clone())
        return topk(scores, *arguments, **options)

    with mock.patch("torch.topk", spy):
        yield seen
