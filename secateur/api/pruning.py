"""Pruning a network that one holds, at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.channels.compaction import compact as compacted
from secateur.pruning.criterion import Criterion
from secateur.pruning.layers import told
from secateur.pruning.masks import held_masks, zeros_of
from secateur.pruning.plan import PruningStep, record_of, remember
from secateur.pruning.pruner import Pruner
from secateur.pruning.repair import REPAIRS, Reference, Repair, Steps
from secateur.pruning.repair import repair as repaired
from secateur.pruning.saliency import Batch, LossFunction
from secateur.training.precision import Precision
from secateur.utils.errors import UserError, nearest


@dataclass(frozen=True)
class Pruned:
    """What `prune` did. Prints as a small table."""

    criterion: str
    #: The fraction of the weights of all layers that is zero or removed now, in [0, 1].
    sparsity: float
    steps: list[PruningStep]
    #: Holds the masks; `pruner.detach()` lets go.
    pruner: Pruner = field(repr=False)

    @property
    def masks(self) -> dict[str, Tensor]:
        """Boolean tensors of the weights' shapes, True where kept, by layer name."""
        return self.pruner.masks.kept

    def __str__(self) -> str:
        lines = [f"{self.criterion}: sparsity {self.sparsity:.4f} of the weights of all layers"]
        lines += [str(step) for step in self.steps[-1:]]
        return "\n".join([*lines, *filter(None, [told(self.pruner.left_out)])])


def prune(
    network: nn.Module,
    criterion: str | type[Criterion],
    *,
    sparsity: float | None = None,
    batches: Iterable[Batch] = (),
    loss: LossFunction = functional.cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    example: Tensor | None = None,
    seed: int = 333,
    execution: str = "dense",
    precision: str = "float32",
    **options: Any,
) -> Pruned:
    """Prune a network at once, in place.

        secateur.prune(network, "SNIP", sparsity=0.9, batches=loader, loss=functional.cross_entropy)
        secateur.prune(network, "L1Norm", sparsity=0.5, example=images[:1])
        secateur.prune(network, "L1Norm", target=["latency=0.33@64"], example=images[:1])

    A criterion of weights sets them to zero; its masks hold from here on in any loop, under any optimizer. One of
    channels leaves smaller layers. An iterative criterion makes all its steps, whatever its timing.

    Parameters
    ----------
    network: any module that takes images (N, C, H, W).
    criterion: the name of a criterion (built-in, of the current folder's criterions/, of a plugin), or its class.
    sparsity: the fraction in [0, 1) to prune, `pruning_limit` of the command line (default: 0.5).
    batches: (inputs, targets) on the network's device, an iterable that can be gone through again.
    loss: `loss(logits, targets)`, a scalar, the mean over the images: scores look at a batch in parts.
    optimizer: the one that trains the network, whose state follows.
    example: one image (1, C, H, W), for tracing; by default taken from `batches`.
    seed: what random criteria depend on.
    execution: how the network will be run, which `target` is measured by: "dense", without channels that are idle, or
        as `secateur.accelerate` does, "sparse" or "auto".
    precision: "float32", or "bf16" or "fp16" by autocast, which `target` is measured by, and the steps of the repair
        `distill` are taken by.
    options: those of the criterion, as on the command line.

    Raises `ValueError`, in one line, for a name, a value or a network that cannot be.
    """
    pruner = Pruner(
        network,
        criterion,
        sparsity=sparsity,
        batches=batches,
        loss=loss,
        optimizer=optimizer,
        example=example,
        seed=seed,
        execution=execution,
        precision=precision,
        at_once=True,
        **options,
    )
    return Pruned(type(pruner.criterion).__name__, pruner.sparsity, pruner.steps, pruner)


def repair(
    network: nn.Module,
    dense: nn.Module,
    names: str | Sequence[str],
    *,
    batches: Iterable[Batch],
    distill_steps: int = 500,
    distill_rate: float = 1e-3,
    seed: int = 333,
    precision: str = "float32",
    repair_images: int | None = None,
) -> list[Repair]:
    """Bring a pruned network nearer to the one that it was, in place; what is zero in its pruned layers stays zero.

        dense = copy.deepcopy(network)
        secateur.prune(network, "Magnitude", sparsity=0.8, batches=loader)
        secateur.repair(network, dense, ["least_squares", "bn"], batches=batches)

    What `secateur.prune(..., repair=[...])` does at once, for networks whose layers have lost no channels.

    Parameters
    ----------
    names: bn, bias, least_squares or distill, made one after another; what would raise the error is taken back (merge
        is made as channels are removed, by `prune`).
    batches: (inputs, targets) for calibration.
    distill_steps, distill_rate: steps of distill, whose batches depend on `seed`, and their step size, of Adam.
    precision: of these steps: "float32", or "bf16" or "fp16" by autocast.
    repair_images: how many images all repairs but distill, and errors, are computed on; by default all.

    Raises `ValueError`, in one line, for a name that is none, or networks of different shapes.
    """
    names = [names] if isinstance(names, str) else list(names)
    if unknown := [name for name in names if name not in REPAIRS]:
        raise UserError(f"there is no repair '{unknown[0]}'{nearest(unknown[0], REPAIRS)}")
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (network, dense)]
    if shapes[0] != shapes[1]:
        raise UserError("repair compares the layers of two networks of the same shapes: use prune(..., repair=[...])")
    if not (given := list(batches)):
        raise UserError("batches= holds no batch to repair the network on")
    masks = held_masks(network) or zeros_of(network)
    autocast = Precision(precision, given[0][0].device).autocast
    reference = Reference(dense, given, most=repair_images)
    return repaired(network, reference, names, masks, Steps(distill_steps, distill_rate, seed, autocast))


def compact(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a network without the channels that its zeros leave idle; it computes the same.

    In evaluation mode, to about 1e-6 of the largest output, for images of the shape of `example` (1, C, H, W). Where
    every channel is needed the copy is as large as the network. Raises `ValueError` where torch cannot trace it.
    """
    found = compacted(network, example, zeros_of(network))
    smaller = copy.deepcopy(network) if found is None else found.network
    record = record_of(network)
    removed = [*(record.removed if record else []), *([found.removals] if found else [])]
    remember(smaller, removed, record.masked if record else (), example)
    return smaller
