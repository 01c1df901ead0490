"""A trained network without its smallest weights, or its smallest units."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secateur.channels.filters import filters_of
from secateur.pruning.build import build_criterion
from secateur.pruning.criterion import Criterion
from secateur.pruning.layers import execution_order, outputs_first, prunable_layers
from secateur.pruning.masks import Masks
from secateur.pruning.plan import SCHEDULES, Timeline
from secateur.pruning.repair import Reference, Repair, Steps, repair
from secateur.pruning.saliency import Batch

if TYPE_CHECKING:
    from secateur.runs.run import Run

#: What is pruned, and by which norm of it: |w| (O, F) of each weight, the L2 norm (O,) of each unit's incoming weights.
NORMS = {
    "weight": lambda layer: filters_of(layer).abs(),
    "unit": lambda layer: filters_of(layer).norm(dim=1),
}


def hidden_layers(network: nn.Module, example: Tensor) -> dict[str, nn.Module]:
    """Return the prunable layers that a forward pass of `example` (N, C, H, W) reaches, all but the last, by name."""
    order, layers = execution_order(network, example), prunable_layers(network)
    return {name: layers[name] for name in dict.fromkeys(order) if name != order[-1]}


@torch.no_grad()
def without(network: nn.Module, kept: dict[str, Tensor]) -> nn.Module:
    """Return a copy of the network with the weights set to zero that `kept`, boolean by layer name, leaves out.

    `kept` marks weights as (O, F) or units as (O,), as `NORMS` has them; a unit loses its weights and its bias.
    """
    pruned = copy.deepcopy(network)
    for name, mask in kept.items():
        layer = pruned.get_submodule(name)
        rows = mask if mask.dim() == 2 else mask[:, None].expand_as(filters_of(layer))
        layer.weight.mul_(outputs_first(layer, rows.view_as(outputs_first(layer))))
        if mask.dim() == 1 and layer.bias is not None:
            layer.bias.mul_(mask)
    return pruned


def criterion_of_copy(
    run: Run, kind: type[Criterion], options: dict[str, Any], smoke: bool = False
) -> tuple[Criterion, list[Batch]]:
    """Return a criterion of a copy of a run's network, which prunes at once, and the batches that it is to look at."""
    network = copy.deepcopy(run.network)
    masks = Masks(network)
    masks.set(run.masks.kept)
    criterion = build_criterion(
        kind, network, masks, run.loss, run.example, True, seed=run.options.seed, smoke=smoke, options=options
    )
    criterion.plan(Timeline(0, 0, 0, 1, len(run.data.train), at_once=True))
    return criterion, list(itertools.islice(run.data.train.epoch(0), criterion.saliency_batches))


def pruned_by(
    run: Run, kind: type[Criterion], sparsity: float, batches: int, distribution: str | None = None, **options: Any
) -> tuple[nn.Module, Callable[[Sequence[str]], list[Repair]]]:
    """Prune a copy of a run's network by a criterion, at once, all layers but the last; `options` are the criterion's.

    Looks at so many `batches` of training data. Weights are spread over the layers by `distribution`, or as the
    criterion has it, as channels always are. Returns the copy, and what makes the repairs on it that are named.
    """
    last = execution_order(run.network, run.example)[-1]
    options = {"ignore_layers": [last], "saliency_batches": batches} | options
    if distribution and kind.unit == "weights":
        options["distribution"] = distribution
    criterion, looked_at = criterion_of_copy(run, kind, options)
    network, masks = criterion.network, criterion.masks
    reference = Reference(network, looked_at, follows=criterion.unit == "units")
    for limit in SCHEDULES[criterion.schedule](sparsity, criterion.snip_steps or 1):
        step = criterion.prune(limit, looked_at)
        reference.keep_indices(network, step.kept_indices)
    return network, lambda names: repair(network, reference, names, masks, Steps(seed=run.options.seed))
