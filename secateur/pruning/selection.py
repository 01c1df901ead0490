"""Which weights are kept, given their scores: exact counts, spread over the layers, or in patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from secateur.utils.counts import count_true
from secateur.utils.errors import UserError


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
    chosen[tied[: keep - count_true(chosen)]] = True
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


def uniform(shape: Sequence[int]) -> float:
    """Every layer has the same density."""
    return 1.0


def erdos_renyi(shape: Sequence[int]) -> float:
    """(outputs + inputs) / (outputs * inputs): wide layers are sparser (Mocanu et al., 2018, equation 3)."""
    return (shape[0] + shape[1]) / (shape[0] * shape[1])


def erdos_renyi_kernel(shape: Sequence[int]) -> float:
    """sum(shape) / prod(shape), which counts the sides of the kernel too (Evci et al., 2020, section 3, ERK)."""
    return sum(shape) / math.prod(shape)


#: What `--distribution` can name: the shape of a weight -> its density, up to a common factor; None ranks all together.
DISTRIBUTIONS = {
    "global": None,
    "uniform": uniform,
    "erdos_renyi": erdos_renyi,
    "erdos_renyi_kernel": erdos_renyi_kernel,
}


def layer_counts(
    shapes: dict[str, Sequence[int]], keep: int, distribution: str, alive: dict[str, int] | None = None
) -> dict[str, int]:
    """Say how many weights each layer keeps, `keep` in all.

    Densities are in proportion to those of `distribution`; a layer that would need more than it has keeps all, and the
    others share the rest anew. What rounding leaves goes to the layers with the largest fractions.
    """
    density = DISTRIBUTIONS[distribution]
    room = {name: math.prod(shape) for name, shape in shapes.items()} if alive is None else alive
    wanted = {name: density(shape) * math.prod(shape) for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        rest = keep - sum(room[name] for name in full)
        free = sum(share for name, share in wanted.items() if name not in full)
        shares = {name: room[name] if name in full else rest * share / free for name, share in wanted.items()}
        overfull = {name for name, share in shares.items() if name not in full and share > room[name]}
        if not overfull:
            break
        full |= overfull
        if len(full) == len(shapes):
            return dict(room)
    counts = {name: int(share) for name, share in shares.items()}
    fractions = sorted(
        (name for name in counts if counts[name] < room[name]), key=lambda name: counts[name] - shares[name]
    )
    for name in fractions[: keep - sum(counts.values())]:
        counts[name] += 1
    return counts


def read_pattern(text: str) -> tuple[int, int] | None:
    """Read `--pattern`: "2:4" is (2, 4), "unstructured" is None. Raises `UserError` for all but 0 < N < M <= 1024."""
    if text == "unstructured":
        return None
    keep, _, group = text.partition(":")
    if not (keep.isdecimal() and group.isdecimal() and 0 < int(keep) < int(group) <= 1024):
        raise UserError(f"--pattern '{text}' is not unstructured or N:M with N < M, as 2:4")
    return int(keep), int(group)


def checked_scores(
    scores: dict[str, Tensor], shapes: dict[str, torch.Size], criterion: str, method: str, what: str
) -> dict[str, Tensor]:
    """Return the scores as numbers to be ranked: float32 or float64, finite, without a gradient.

    Parameters: `shapes`, those that the scores of each layer must have; `method`, which has returned them; `what` there
    must be one of for each. Raises `UserError` for other names or shapes, and for NaN.
    """
    who = f"{criterion}.{method}"
    if not (isinstance(scores, dict) and all(isinstance(score, Tensor) for score in scores.values())):
        raise UserError(f"{who} must return a dictionary of tensors, one for each {what}")
    if scores.keys() != shapes.keys():
        wrong = sorted(scores.keys() ^ shapes.keys())
        raise UserError(f"{who} must return one tensor for each {what}: see {wrong[0]}")
    for name, score in scores.items():
        if score.shape != shapes[name]:
            raise UserError(f"{who}: {name} has the shape {tuple(score.shape)}, not {tuple(shapes[name])}")
    for name, score in scores.items():
        if score.isnan().any():
            raise UserError(f"{criterion}: the scores of {name} are not numbers (NaN); is --learning_rate too large?")
    # Infinity is kept for weights that were pruned before.
    wide = {
        name: (score if score.dtype in (torch.float32, torch.float64) else score.float()).detach()
        for name, score in scores.items()
    }
    limits = {name: torch.finfo(score.dtype).max for name, score in wide.items()}
    return {name: score.clamp(-limits[name], limits[name]) for name, score in wide.items()}
