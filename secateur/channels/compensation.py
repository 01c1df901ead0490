"""Makes up for channels that are about to be removed, by changing the weights of the layers that read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from secateur.channels.averages import average_over_all
from secateur.channels.chains import find_chains, used_once
from secateur.channels.merging import merge
from secateur.channels.refitting import refit
from secateur.channels.surgery import Removal, Surgery, zero_channels
from secateur.pruning.fitting import sampled_outputs
from secateur.pruning.masks import Masks
from secateur.pruning.saliency import Batch
from secateur.utils.text import first_few

if TYPE_CHECKING:
    from secateur.pruning.structured import StructuredCriterion

#: How many layers a notice names.
NAMED = 4
#: To which layers a method does not apply.
WHY = {
    "merge": "their channels are coupled, or pass through more than one batch norm, ReLU, pooling and flattening",
    "least_squares": "it fits Linear layers and 2-d convolutions without groups and masks, that are used once",
}


@torch.no_grad()
def compensate(
    surgery: Surgery, removals: list[Removal], batches: Iterable[Batch], criterion: StructuredCriterion
) -> list[str]:
    """Change weights as the criterion's `compensation` says, before channels are removed; returns what to tell.

    `batches` are looked at by least squares alone. Pruned weights stay zero.
    """
    method, masks = criterion.compensation, criterion.masks
    if method == "none" or not removals:
        return []
    notices = []
    if criterion.rewinds:
        notices.append(f"--compensate {method} has no effect with rewinding")
    if method == "merge":
        left, some = _merge_all(surgery, removals, criterion)
        if not some and len(left) < len(removals):
            notices.append("--compensate merge finds no filters alike: --merge_threshold is above all their cosines")
    else:
        left = _refit_all(surgery, removals, batches, masks)
    masks.apply_to_weights()
    if left:
        notices.append(f"--compensate {method} does not apply to {first_few(left, NAMED)}: {WHY[method]}")
    return notices


def _merge_all(surgery: Surgery, removals: list[Removal], criterion: StructuredCriterion) -> tuple[list[str], bool]:
    """Merge the channels of all layers where that can be done.

    Returns the others that lose channels, and whether any two channels were alike.
    """
    chains = find_chains(surgery)
    merged = [
        merge(surgery.network, chains[root], torch.tensor(removed), criterion)
        for root, removed in removals
        if root in chains
    ]
    for additions in merged:
        for name, addition in additions.items():
            surgery.network.get_submodule(name).weight.add_(addition)
    some = any(bool(addition.any()) for additions in merged for addition in additions.values())
    return [root for root, _ in removals if root not in chains], some


def _refit_all(surgery: Surgery, removals: list[Removal], batches: Iterable[Batch], masks: Masks) -> list[str]:
    """Fit all layers that lose inputs where that can be done; returns the others."""
    losing = lost_inputs(surgery, removals)
    once = used_once(surgery.network, surgery.example)

    def can_be_fitted(name: str) -> bool:
        layer = surgery.network.get_submodule(name)
        plain = isinstance(layer, nn.Linear) or (type(layer) is nn.Conv2d and layer.groups == 1)
        return plain and name in once and bool(masks.kept.get(name, torch.ones(1)).all())

    fitted = {name: lost for name, lost in losing.items() if can_be_fitted(name)}
    images = torch.cat([inputs for inputs, _ in batches])
    wanted = sampled_outputs(surgery.network, fitted, images)
    for root, removed in removals:  # for layers that are not fitted
        zero_channels(surgery.network, surgery.groups[root], torch.tensor(removed))
    refit(surgery.network, fitted, images, wanted)
    average_over_all(surgery.network)
    return [name for name in losing if name not in fitted]


def lost_inputs(surgery: Surgery, removals: Iterable[Removal]) -> dict[str, Tensor]:
    """Which inputs (C,) the removals take from each layer that reads what they remove, True where lost."""
    lost: dict[str, Tensor] = {}
    for root, removed in removals:
        for name, own, ours in surgery.groups[root].inputs:
            layer = surgery.network.get_submodule(name)
            size = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
            lost.setdefault(name, torch.zeros(size, dtype=torch.bool))
            lost[name][own[torch.isin(ours, torch.tensor(removed))]] = True
    return lost
