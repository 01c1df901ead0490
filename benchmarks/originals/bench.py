"""Networks and batches to compare on, and the comparison."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import rankdata
from torch import nn

import secateur
from originals.program import Batch, ByLayer, Found
from secateur.config.registry import find_class
from secateur.data.batches import Batches
from secateur.data_sets.IMAGEFOLDER import IMAGEFOLDER
from secateur.data_sets.MNIST import MNIST
from secateur.pruning.criterion import Criterion
from secateur.pruning.plan import PruningStep

#: The two sparsities that masks are compared at; of channels fewer go.
OF_WEIGHTS, OF_CHANNELS = (0.9, 0.98), (0.5, 0.8)
SEED = 1
HEADINGS = (
    "criterion, and what it is given here",
    "program",
    "network",
    "largest difference",
    "rank correlation",
    "masks, first sparsity",
    "second",
    "what differs, and why",
)

#: What differs, and why, in several rows.
SAME = "nothing but rounding"
NO_SOFTMAX = "the program's loss is the mean of -logit, without a softmax; the paper's is the training loss"
CHAOS = "the scores agree; the program keeps a weight more or less in each step, and the next scores follow from that"
COUNTED = ", and as many weights kept as there"


@dataclass
class Row:
    """A line of the table."""

    criterion: str
    program: str
    network: str
    difference: float | None
    correlation: float | None
    overlaps: list[tuple[float, float, float]]
    why: str

    def __str__(self) -> str:
        scores = [f"{self.difference:.1g}", f"{self.correlation:.4f}"] if self.difference is not None else ["-", "-"]
        masks = [f"{jaccard:.3f}, {100 * common:.1f} % ({at:g})" for at, jaccard, common in self.overlaps]
        masks += ["-"] * (2 - len(masks))
        return "| " + " | ".join([self.criterion, self.program, self.network, *scores, *masks, self.why]) + " |"


class Bench:
    """Networks and batches, the same for a program and for Secateur, and the comparison of what both find."""

    def __init__(self, originals: Path, data_dir: Path) -> None:
        self.originals = originals
        self.sources = {"MNIST": self._batches(MNIST(), data_dir, 100)}
        self.sources["CIFAR-10"] = self._batches(IMAGEFOLDER(), data_dir / "cifar10-jpg", 64)

    def _batches(self, data_set: Any, folder: Path, size: int) -> list[Batch]:
        images, _ = data_set.load(folder)
        epoch = Batches(images, size, data_set.mean, data_set.std, seed=SEED).epoch(0)
        return [batch for batch, _ in zip(epoch, range(16), strict=False)]

    def batches(self, network: str) -> list[Batch]:
        """The first training batches of the data set that a network is for."""
        return self.sources["MNIST" if "LeNet" in network or "MLP" in network else "CIFAR-10"]

    def network(self, name: str) -> nn.Module:
        """The network of that name as it is initialised."""
        torch.manual_seed(SEED)
        return find_class("models", name)(self.batches(name)[0][0].shape[1:], 10)

    def row(
        self,
        label: str,
        program: str,
        network: str,
        why: str,
        theirs: Callable[[float], Found],
        ours: Callable[[float], Found],
        sparsities: tuple[float, ...] = OF_WEIGHTS,
    ) -> Row:
        """Compare scores, of the first step, and masks at each sparsity."""
        difference = correlation = None
        overlaps = []
        for sparsity in sparsities:
            found, own = theirs(sparsity), ours(sparsity)
            if found.scores is not None and difference is None:
                difference, correlation = compared(own.scores, found.scores)
            if found.kept:
                overlaps.append((sparsity, *overlap(own.kept, found.kept)))
        return Row(label, program, network, difference, correlation, overlaps, why)


def ours(
    network: nn.Module,
    criterion: str,
    batches: list[Batch],
    sparsity: float,
    count: Callable[[float], int] | None = None,
    **options: Any,
) -> Found:
    """Prune a copy of the network; returns the scores of the first step and what is kept after the last one.

    `count` says how many of a number of weights, times what is kept of them, are kept: programs round in other ways.
    """
    kind = find_class("criterions", criterion)
    kind = kind if count is None else counting(kind, count)
    found = Found({}, {})

    def take(step: PruningStep) -> None:
        if not found.scores:
            found.scores = step.scores
            found.kept = {name: torch.ones_like(mask) for name, mask in step.masks.items()}
        if step.unit == "weights":
            found.kept = step.masks
        else:  # of the channels that were left
            for name, mask in step.masks.items():
                found.kept[name][found.kept[name].clone()] = mask

    options = {"outer_layer_pruning": True, "saliency_batches": len(batches), **options}
    secateur.Pruner(
        copy.deepcopy(network), kind, sparsity=sparsity, batches=batches, at_once=True, on_step=take, **options
    )
    return found


def counting(kind: type[Criterion], count: Callable[[float], int]) -> type[Criterion]:
    """Return the criterion with another way to round the number of weights that are kept."""

    class Counting(kind):
        sparsity = 0.0

        def prune(self, sparsity: float, *arguments: Any, **options: Any) -> PruningStep:
            self.sparsity = sparsity
            return super().prune(sparsity, *arguments, **options)

        def select(self, scores: ByLayer, keep: int) -> ByLayer:
            return super().select(scores, count((1 - self.sparsity) * sum(map(torch.numel, scores.values()))))

    return Counting


def compared(own: ByLayer, found: ByLayer) -> tuple[float, float]:
    """Return the largest difference as a share of the largest score, and Spearman's rank correlation."""
    first, second = (torch.cat([side[name].flatten().double() for name in found]) for side in (own, found))
    first, second = first / first.abs().mean(), second / second.abs().mean()
    ranks = [torch.from_numpy(rankdata(side.numpy())) for side in (first, second)]
    correlation = torch.corrcoef(torch.stack(ranks))[0, 1]
    return float((first - second).abs().max() / second.abs().max()), float(correlation)


def overlap(own: ByLayer, found: ByLayer) -> tuple[float, float]:
    """Return the Jaccard index of two masks, and which share of the second the first has too."""
    first, second = (torch.cat([side[name].flatten() for name in found]) for side in (own, found))
    both = int((first & second).sum())
    return both / int((first | second).sum()), both / int(second.sum())


def best(scores: ByLayer, sparsity: float) -> ByLayer:
    """Keep the best of all scores together, for programs whose own selection is part of their training loop."""
    row = torch.cat([score.flatten() for score in scores.values()])
    threshold = row.sort(descending=True).values[round((1 - sparsity) * len(row)) - 1]
    return {name: score >= threshold for name, score in scores.items()}
