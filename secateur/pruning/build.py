"""Builds a criterion for a network that is at hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from secateur.config.option import options_of
from secateur.config.registry import find_class
from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.criterion import Criterion
from secateur.pruning.layers import outer_layers
from secateur.pruning.masks import Masks
from secateur.pruning.saliency import Batch, LossFunction
from secateur.utils.errors import UserError


def build_criterion(
    kind: str | type[Criterion],
    network: nn.Module,
    masks: Masks,
    loss: LossFunction,
    example: Tensor,
    outer: bool,
    *,
    seed: int,
    smoke: bool = False,
    options: dict[str, Any],
) -> Criterion:
    """Return the criterion over the weights of a network that can be pruned.

    Those are all that are trained; without `outer` not those of the first and the last layer that `example`, an image
    (1, C, H, W), reaches.
    """
    kind = find_class("criterions", kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, Criterion)):
        raise UserError(f"{kind!r} is not a criterion: a name, or a class derived from Criterion")
    spared = set() if outer else outer_layers(network, example)
    prunable = [name for name, weight in masks.weights.items() if name not in spared and weight.requires_grad]
    criterion = kind(network, masks, loss, prunable, **options)
    criterion.example, criterion.dense_outputs = example, layer_outputs(network)
    criterion.seed, criterion.smoke = seed, smoke
    return criterion


def split_options(kind: type, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide options into those that a class has, by their names or their flags', and all others."""
    known = options_of(kind)
    names = {*known, *(one.flag for one in known.values())}
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in names}


def example_of(batches: Iterable[Batch], network: nn.Module) -> Tensor:
    """Return one image (1, C, H, W) of some batches, on the network's device."""
    first = next(iter(batches), None)
    if first is None:
        raise UserError("give batches=, some (inputs, targets), or example=, an image (1, C, H, W)")
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return first[0][:1].to(device)
