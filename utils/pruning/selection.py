"""Which weights stay, given their scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from utils.pruning.distributions import layer_counts


def select(
    scores: dict[str, Tensor], keep: int, distribution: str = "global", alive: dict[str, int] | None = None
) -> dict[str, Tensor]:
    """Keep exactly `keep` of all weights, the best by their scores, spread over the layers as `distribution` says.

    Parameters: `scores`, tensors by layer name; `distribution`, a name in DISTRIBUTIONS; `alive`, how many weights a
    layer has left to choose from (all of them where not given). Returns boolean masks of the scores' shapes. Equal
    scores go by position: the earlier one stays.
    """
    if distribution == "global":
        flat = torch.cat([score.flatten() for score in scores.values()])
        parts = keep_largest(flat, keep).split([score.numel() for score in scores.values()])
        return {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts, strict=True)}
    shapes = {name: score.shape for name, score in scores.items()}
    counts = layer_counts(shapes, keep, distribution, alive)
    return {name: keep_largest(score.flatten(), counts[name]).view_as(score) for name, score in scores.items()}


def keep_largest(scores: Tensor, keep: int) -> Tensor:
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


def select_in_groups(scores: dict[str, Tensor], keep: int, group: int) -> dict[str, Tensor]:
    """Keep the best `keep` of each `group` weights that lie side by side along a layer's inputs (N:M sparsity).

    The groups are what sparse tensor cores read (Mishra et al., 2021, section 3): inputs of one output, at one place of
    the kernel. A last group that is not full keeps as many. Returns boolean masks of the scores' shapes.
    """
    masks = {}
    for name, score in scores.items():
        rows = score.movedim(1, -1)  # (O, I, kh, kw) -> (O, kh, kw, I)
        inputs = rows.shape[-1]
        missing = -inputs % group
        padded = functional.pad(rows, (0, missing), value=-torch.inf)
        groups = padded.unflatten(-1, (-1, group))
        # A stable sort lets the earlier of equal scores stay.
        order = groups.argsort(dim=-1, descending=True, stable=True)
        chosen = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order[..., :keep], True)
        masks[name] = chosen.flatten(-2)[..., :inputs].movedim(-1, 1).contiguous()
    return masks
