"""Makes up for channels that are about to be removed, by changing the weights of the layers that read them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from utils.pruning.chains import find_chains, used_once
from utils.pruning.masks import Masks
from utils.pruning.merging import merge
from utils.pruning.refitting import refit, sampled_outputs
from utils.pruning.saliency import Batch
from utils.pruning.surgery import Cut, Surgery, zero_channels

#: How many layers a notice names.
NAMED = 4
#: To which layers a way does not apply.
WHY = {
    "merge": "their channels are coupled, or pass through more than one batch norm, ReLU, pooling and flattening",
    "least_squares": "it fits Linear layers and 2-d convolutions without groups and masks, that are used once",
}


@torch.no_grad()
def compensate(
    surgery: Surgery, cuts: list[Cut], batches: Iterable[Batch], masks: Masks, arguments: argparse.Namespace
) -> list[str]:
    """Change weights as `--compensate` says, before the cuts are made; returns what the user should know.

    `batches` are looked at by least squares alone. Pruned weights stay zero.
    """
    way, typed = arguments.compensate, arguments.explicit
    idle = [f"--{flag}" for flag in ("merge_threshold", "merge_lambda", "merge_formula") if flag in typed]
    notices = [f"{flag} has no effect without --compensate merge" for flag in idle if way != "merge"]
    if way == "none" or not cuts:
        return notices
    if arguments.enable_rewinding or arguments.experiment == "multishot":
        notices.append(f"--compensate {way} has no effect where training goes back to earlier weights")
    if way == "merge":
        left, some = _merge_all(surgery, cuts, arguments)
        if not some and len(left) < len(cuts):
            notices.append("--compensate merge finds no filters alike: --merge_threshold is above all their cosines")
    else:
        left = _refit_all(surgery, cuts, batches, masks)
    masks.apply_to_weights()
    if left:
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        notices.append(f"--compensate {way} does not apply to {', '.join(left[:NAMED])}{more}: {WHY[way]}")
    return notices


def _merge_all(surgery: Surgery, cuts: list[Cut], arguments: argparse.Namespace) -> tuple[list[str], bool]:
    """Merge the channels of all layers where that can be done.

    Returns the others that lose channels, and whether any two channels were alike.
    """
    chains = find_chains(surgery)
    merged = [
        merge(surgery.network, chains[root], torch.tensor(removed), arguments)
        for root, removed in cuts
        if root in chains
    ]
    for additions in merged:
        for name, addition in additions.items():
            surgery.network.get_submodule(name).weight.add_(addition)
    some = any(bool(addition.any()) for additions in merged for addition in additions.values())
    return [root for root, _ in cuts if root not in chains], some


def _refit_all(surgery: Surgery, cuts: list[Cut], batches: Iterable[Batch], masks: Masks) -> list[str]:
    """Fit all layers that lose inputs where that can be done; returns the others."""
    losing = lost_inputs(surgery, cuts)
    once = used_once(surgery.network, surgery.example)

    def can_be_fitted(name: str) -> bool:
        layer = surgery.network.get_submodule(name)
        plain = isinstance(layer, nn.Linear) or (type(layer) is nn.Conv2d and layer.groups == 1)
        return plain and name in once and bool(masks.kept.get(name, torch.ones(1)).all())

    fitted = {name: lost for name, lost in losing.items() if can_be_fitted(name)}
    images = torch.cat([inputs for inputs, _ in batches])
    wanted = sampled_outputs(surgery.network, fitted, images)
    for root, removed in cuts:  # for layers that are not fitted
        zero_channels(surgery.network, surgery.groups[root], torch.tensor(removed))
    refit(surgery.network, fitted, images, wanted)
    return [name for name in losing if name not in fitted]


def lost_inputs(surgery: Surgery, cuts: Iterable[Cut]) -> dict[str, Tensor]:
    """Which inputs (C,) the cuts take from each layer that reads what they remove, True where lost."""
    lost: dict[str, Tensor] = {}
    for root, removed in cuts:
        for name, own, ours in surgery.groups[root].inputs:
            layer = surgery.network.get_submodule(name)
            size = getattr(layer, "in_features", None) or getattr(layer, "in_channels", int(own.max()) + 1)
            lost.setdefault(name, torch.zeros(size, dtype=torch.bool))
            lost[name][own[torch.isin(ours, torch.tensor(removed))]] = True
    return lost
