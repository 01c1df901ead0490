"""Builds a criterion for a network that is at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secateur.channels.folding import make_plain
from secateur.channels.shuffles import open_shuffles
from secateur.config.option import options_of
from secateur.config.registry import find_class
from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.criterion import Criterion
from secateur.pruning.layers import (
    COMPUTED,
    IGNORED,
    OUTER,
    computed_layers,
    layer_sparsities,
    matching_layers,
    outer_layers,
)
from secateur.pruning.masks import Masks
from secateur.pruning.plan import record_of
from secateur.pruning.saliency import Batch, LossFunction
from secateur.utils.errors import UserError, one_line
from secateur.utils.modes import evaluation_mode


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

    Without `outer` those are not of the first and the last layer that `example`, an image (1, C, H, W), reaches, and
    never of those that `ignore_layers` names. Frozen ones are among them, unless scores need the gradients of training.
    """
    kind = _class_of(kind)
    if not (isinstance(kind, type) and issubclass(kind, Criterion)):
        raise UserError(f"{kind!r} is not a criterion: a name, or a class derived from Criterion")
    ignored = matching_layers(network, options.get("ignore_layers") or ())
    left_out = dict.fromkeys(computed_layers(network), COMPUTED)
    if kind.needs_dense_gradients:
        frozen = (name for name, weight in masks.weights.items() if not weight.requires_grad)
        left_out |= dict.fromkeys(frozen, "it is frozen, and scores come from the gradients of training")
    left_out |= {} if outer else dict.fromkeys(outer_layers(network, example), OUTER)
    left_out |= dict.fromkeys(ignored, IGNORED)
    left_out = {name: left_out[name] for name, _ in network.named_modules() if name in left_out}
    criterion = kind(network, masks, loss, [name for name in masks.weights if name not in left_out], **options)
    criterion.ignored, criterion.left_out = frozenset(ignored), left_out
    # Channels of the first layer are pruned like others.
    spared = {name: why for name, why in left_out.items() if why != OUTER or not removes_channels(kind)}
    own = layer_sparsities(network, criterion.layer_sparsity, spared) if criterion.layer_sparsity else {}
    criterion.own_sparsities = {name: one for name, one in own.items() if name not in spared}
    if criterion.target:
        from secateur.pruning.budget import Meter  # here, as most runs measure nothing

        criterion.meter = Meter(criterion.target, network)
    criterion.example, criterion.dense_outputs = example, layer_outputs(network)
    criterion.seed, criterion.smoke = seed, smoke
    return criterion


def prepare_network(
    kind: str | type[Criterion], network: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> list[str]:
    """Let a network, in place, be such that a criterion of channels can look at it; returns what to tell the user.

    Norms of weights are folded into the weights, and torch's attention and torchvision's shuffles are opened; other
    criteria need none of it. Shuffles that have lost channels as they are stay so.
    """
    if not removes_channels(kind):
        return []
    record = record_of(network)
    return make_plain(network, optimizer) + ([] if record and record.removed else open_shuffles(network))


def removes_channels(kind: str | type[Criterion]) -> bool:
    """Whether a criterion is one of channels."""
    return getattr(_class_of(kind), "unit", "") == "units"


def _class_of(kind: str | type[Criterion]) -> type[Criterion]:
    return find_class("criterions", kind) if isinstance(kind, str) else kind


def split_options(kind: type, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide options into those that a class has, by their names or their flags', and all others."""
    known = options_of(kind)
    names = {*known, *(one.flag for one in known.values())}
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in names}


def image_of(network: nn.Module, batches: Iterable[Batch], example: Tensor | None) -> Tensor:
    """Return `example`, or one image (1, C, H, W) of some batches on the network's device.

    Raises `UserError`, which says what to give instead, where the network does not run on it.
    """
    if not isinstance(network, nn.Module):
        raise UserError(f"{network!r} is not a network: give a module, as Network()")
    weight = next(network.parameters(), torch.empty(0))
    if example is None:
        image, what = _first_inputs(batches)[:1].to(weight.device), "images of batches="
    elif isinstance(example, Tensor):
        image, what = example, "example="
    else:
        raise UserError(f"example= is a {type(example).__name__}: give a tensor, an image (1, C, H, W)")
    try:
        with evaluation_mode(network), torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(image)
    except Exception as error:  # whatever the network raises
        hint = ""
        if image.dtype != weight.dtype:
            hint = f"; its weights are {weight.dtype}: give such images, or network.float()"
        elif image.dim() < 4:
            hint = "; an image has four dimensions, (1, C, H, W), as images[:1] and image[None] have"
        found = f"of shape {tuple(image.shape)} and {image.dtype}"
        raise UserError(f"the network does not run on {what} {found}: {one_line(error, 200)}{hint}") from error
    return image


def _first_inputs(batches: Iterable[Batch]) -> Tensor:
    """The inputs of the first batch, which has to be a pair."""
    first = next(iter(batches), None)
    if first is None:
        raise UserError("give batches=, some (inputs, targets), or example=, an image (1, C, H, W)")
    if isinstance(first, Mapping):
        names = [repr(name) for name in first]
        pair = ", ".join(f"one[{name}]" for name in (names + ["..."] * 2)[:2])
        raise UserError(
            f"batches= yields dictionaries of {', '.join(names)}: give pairs of inputs and targets, as "
            f"[({pair}) for one in loader]"
        )
    if not (isinstance(first, tuple | list) and len(first) == 2 and isinstance(first[0], Tensor)):
        raise UserError(
            f"batches= yields a {type(first).__name__}: give pairs (inputs, targets), of one batch [(inputs, targets)]"
        )
    return first[0]
