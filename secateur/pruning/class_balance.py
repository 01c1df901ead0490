"""Batches that have as many images of every class."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from secateur.pruning.saliency import Batch
from secateur.utils.errors import UserError


def balanced_batches(
    batches: Iterable[Batch], number: int, per_class: int, classes: int, partial: bool = False
) -> list[Batch]:
    """Return `number` batches, each with `per_class` images of every class, the first ones that `batches` has.

    GraSP (Wang et al., 2020) scores on such batches, in its program on 10 images of each class. Raises `UserError`
    where there are too few images of a class; with `partial` the batches then have what there is.
    """
    wanted = number * per_class
    seen: Tensor | None = None
    parts = []
    for inputs, targets in batches:
        if seen is None:
            seen = torch.zeros(classes, dtype=torch.long, device=targets.device)
        is_class = functional.one_hot(targets, classes)  # (B, K)
        # Which image of its class each one is, from 0 on.
        places = (seen + is_class.cumsum(0)).gather(1, targets[:, None]).squeeze(1) - 1
        taken = places < wanted
        parts.append((inputs[taken], targets[taken], places[taken] // per_class))
        seen = seen + is_class.sum(0)
        if (seen >= wanted).all():
            break
    if not partial and (seen is None or (seen < wanted).any()):
        fewest = 0 if seen is None else int(seen.argmin())
        there = 0 if seen is None else int(seen[fewest])
        raise UserError(
            f"--samples_per_class {per_class}: {number} such batches take {wanted} images of each class, and there are "
            f"{there} of class {fewest}: ask for fewer, or lower --saliency_batches"
        )
    inputs, targets, homes = (torch.cat(one) for one in zip(*parts, strict=True))
    return [(inputs[homes == home], targets[homes == home]) for home in homes.unique().tolist()]
