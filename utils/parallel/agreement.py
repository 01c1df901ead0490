"""Sees to it that all processes of a run have the same network, which nothing but the same numbers would keep alike."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.parallel.collectives import from_first, gathered, rank, size
from utils.pruning.masks import Masks
from utils.pruning.surgery import Cut
from utils.run.files import checksum
from utils.seeds import seeded_generator
from utils.training.random_numbers import random_state, set_random_state

#: How far apart the norms of the same weights may be on machines of different kinds, relative.
TOLERANCE = 1e-4


def check_same_pruning(masks: Masks, history: Iterable[Cut]) -> None:
    """Raise `UserError` where the processes have other masks than the first, or have removed other channels."""
    if size() == 1:
        return
    digests = {name: checksum(mask.cpu().numpy().tobytes()) for name, mask in masks.kept.items()}
    found = gathered((digests, list(history)))
    if different := [number for number, other in enumerate(found) if other != found[0]]:
        raise UserError(
            f"process {different[0]} has pruned other weights or channels than the first: the criterion must score "
            "what the batches give, or draw by --seed"
        )


def check_same_weights(network: nn.Module) -> None:
    """Raise `UserError` where a process has other weights than the first, as where its gradients were its own."""
    if size() == 1:
        return
    parameters = dict(network.named_parameters())
    found: list[Tensor] = gathered(torch.stack(torch._foreach_norm([*parameters.values()])).detach().cpu())
    for number, norms in enumerate(found):
        near = torch.isclose(norms, found[0], rtol=TOLERANCE, equal_nan=True)
        if not near.all():
            name = list(parameters)[int((~near).nonzero()[0])]
            raise UserError(
                f"process {number} has other weights in {name} than the first: the trainer must sum its gradients over "
                "the processes, as DefaultTrainer does"
            )


def draw_alike(device: torch.device) -> None:
    """Let all processes draw the same random numbers from now on: what is drawn for the network must be the same."""
    if size() > 1:
        state = from_first(lambda: random_state(device))
        if rank():
            set_random_state(state, device)


def draw_apart(seed: int, moment: str) -> None:
    """Let each process draw random numbers of its own, as dropout does for its samples; the first draws as if alone."""
    if rank():
        torch.manual_seed(seeded_generator(seed, f"process {rank()}, {moment}").initial_seed())
