"""Which weights stay, given their scores."""

from __future__ import annotations

import torch
from torch import Tensor


def keep_largest(scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
    """Rank all scores together and keep exactly `keep` of them.

    Returns boolean masks of the scores' shapes. Equal scores go by position: the earlier one stays.
    """
    flat = torch.cat([score.flatten() for score in scores.values()])
    chosen = _largest(flat, keep)
    parts = chosen.split([score.numel() for score in scores.values()])
    return {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _largest(scores: Tensor, keep: int) -> Tensor:
    """Mark the `keep` largest of `scores` (N,), ties by position."""
    if keep <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    # Some accelerators cannot do this, or not deterministically.
    ranked = (
        scores if scores.device.type == "cuda" and not torch.are_deterministic_algorithms_enabled() else scores.cpu()
    )
    threshold = torch.kthvalue(ranked, len(scores) - keep + 1).values.to(scores.device)
    chosen = scores > threshold
    tied = (scores == threshold).nonzero().flatten()
    chosen[tied[: keep - int(chosen.sum())]] = True
    return chosen
