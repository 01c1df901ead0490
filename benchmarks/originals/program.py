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
    """A clone of the authors' repository, by the name of its folder; side_by_side.py says where it comes from."""

    folder: str
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


SNIP = Program("snip")
SNIP_IT = Program("SNIP-it")
GRASP = Program("GraSP")
SYNFLOW = Program("Synaptic-Flow")
FORCE = Program("force")
MERGING = Program("neuron-merging")
RIGL = Program("rigl-torch")
SET = Program("sparse-evolutionary-artificial-neural-networks", inside="SET-MLP-Sparse-Python-Data-Structures")
GATES = Program("gate-decorator-pruning")
TAYLOR = Program("Taylor_pruning")
MOVEMENT = Program("block_movement_pruning", inside="block_movement_pruning/emmental")


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
