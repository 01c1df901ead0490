"""Which weights are kept, given their scores: exact counts, spread over the layers, or in patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator

#: From how many numbers on those that are equal are worth looking for.
MANY = 10_000


def select(
    scores: dict[str, Tensor],
    keep: int,
    distribution: str = "global",
    alive: dict[str, int] | None = None,
    alike: Sequence[Sequence[str]] = (),
    fixed: dict[str, int] | None = None,
    table: Path | None = None,
) -> dict[str, Tensor]:
    """Keep exactly `keep` of all weights, the best by their scores, spread over the layers as `distribution` says.

    Parameters: `scores`, tensors by layer name; `distribution`, a name in DISTRIBUTIONS; `alive`, how many weights a
    layer has left to choose from (all of them where not given); `alike`, the layers that "isomorphic" ranks together;
    `fixed`, how many of the `keep` are of some layers, which have no part in the distribution; `table`, the run whose
    table "sensitivity" goes by. Returns boolean masks of the scores' shapes. Equal scores go by position: the earlier
    one stays.
    """
    if distribution == "sensitivity":
        from secateur.pruning.sensitivity import table_counts  # here, as most runs have no table

        sizes = {name: score.numel() for name, score in scores.items()}
        fixed = table_counts(table, sizes, keep, fixed or {})
    if fixed:
        others = {name: score for name, score in scores.items() if name not in fixed}
        alike = [[name for name in names if name in others] for names in alike]
        masks = select(others, keep - sum(fixed.values()), distribution, alive, alike) if others else {}
        return {
            name: keep_largest(score, fixed[name]) if name in fixed else masks[name] for name, score in scores.items()
        }
    if distribution == "isomorphic":
        parts = {str(number): names for number, names in enumerate(alike) if names}
        sizes = {part: (sum(scores[name].numel() for name in names),) for part, names in parts.items()}
        room = alive and {part: sum(alive[name] for name in names) for part, names in parts.items()}
        counts = layer_counts(sizes, keep, distribution, room)
        masks = {}
        for part, names in parts.items():
            masks |= select({name: scores[name] for name in names}, counts[part])
        return {name: masks[name] for name in scores}
    if distribution == "global":
        return dict(zip(scores, _keep_largest(list(scores.values()), keep), strict=True))
    shapes = {name: score.shape for name, score in scores.items()}
    counts = layer_counts(shapes, keep, distribution, alive)
    return {name: keep_largest(score, counts[name]) for name, score in scores.items()}


def shuffled(masks: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Permute the mask of each layer at random: as many weights are kept, but others."""
    generator = seeded_generator(seed, "shuffled masks")
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator).to(mask.device)].view_as(mask)
        for name, mask in masks.items()
    }


def count_true(mask: Tensor) -> int:
    """How many elements of a boolean tensor of any shape are True."""
    if mask.device.type == "cpu":
        return int(np.count_nonzero(mask.numpy()))  # takes a twentieth of the time of torch's sum
    return int(mask.count_nonzero())


def keep_largest(scores: Tensor, keep: int) -> Tensor:
    """Mark the `keep` largest of `scores`, a boolean tensor of their shape; ties by position."""
    return _keep_largest([scores], keep)[0]


def _keep_largest(scores: list[Tensor], keep: int) -> list[Tensor]:
    """Mark the `keep` largest of all `scores` together; ties by position, in their order."""
    if keep <= 0:
        return [torch.zeros_like(score, dtype=torch.bool) for score in scores]
    threshold = _kth_largest(scores, keep)
    chosen = [score.contiguous() > threshold for score in scores]
    left = keep - sum(count_true(mask) for mask in chosen)
    for score, mask in zip(scores, chosen, strict=True):
        if left:
            tied = (score == threshold).flatten().nonzero().flatten()[:left]
            mask.view(-1)[tied] = True
            left -= len(tied)
    return chosen


def _kth_largest(scores: list[Tensor], k: int) -> Tensor:
    """The k-th largest, from 1, of all scores together: a scalar on their device."""
    row = torch.cat([score.detach().flatten() for score in scores])
    if row.device.type == "cuda" and not torch.are_deterministic_algorithms_enabled():
        return torch.kthvalue(row, len(row) - k + 1).values
    # Other accelerators cannot do this, or not deterministically. It is done in place: torch's takes three copies more.
    numbers = (row.float() if row.dtype == torch.bfloat16 else row).cpu().numpy()
    return torch.tensor(_kth_largest_of(numbers, k), dtype=row.dtype, device=row.device)


def _kth_largest_of(numbers: np.ndarray, k: int) -> np.floating:
    """The k-th largest, from 1; `numbers` may be reordered.

    Those that are frequent, as -inf of what was pruned and 0 of what no image reaches, are set apart first: NumPy takes
    3 s to partition 9 million numbers half of which are equal, 0.2 s for others.
    """
    while len(numbers) > MANY:
        values, counts = np.unique(numbers[:: len(numbers) // 1000], return_counts=True)
        common = values[counts.argmax()]
        if counts.max() < 0.02 * counts.sum() or np.isnan(common):
            break
        larger = numbers > common
        if (number := np.count_nonzero(larger)) >= k:
            numbers = numbers[larger]
        elif (equal := np.count_nonzero(numbers == common)) >= k - number:
            return common
        else:
            numbers, k = numbers[numbers < common], k - number - equal
    numbers.partition(len(numbers) - k)
    return numbers[len(numbers) - k]


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
#: Isomorphic ranks like layers together (Fang et al., 2024, "Isomorphic Pruning for Vision Models"), each kind alike;
#: sensitivity goes by a table, see `secateur.pruning.sensitivity`, and knows no shape.
DISTRIBUTIONS = {
    "global": None,
    "uniform": uniform,
    "erdos_renyi": erdos_renyi,
    "erdos_renyi_kernel": erdos_renyi_kernel,
    "isomorphic": uniform,
    "sensitivity": uniform,
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
    return rounded(shares, keep, room)


def rounded(shares: dict[str, float], keep: int, room: dict[str, int]) -> dict[str, int]:
    """Round shares, `keep` in all, down; what is left goes to the largest fractions where there is room."""
    counts = {name: int(share) for name, share in shares.items()}
    fractions = sorted(
        (name for name in counts if counts[name] < room[name]), key=lambda name: counts[name] - shares[name]
    )
    for name in fractions[: keep - sum(counts.values())]:
        counts[name] += 1
    return counts


def own_counts(
    sparsities: dict[str, float], progress: float, room: dict[str, int], sizes: dict[str, int]
) -> dict[str, int]:
    """How many weights layers keep that have come so far, `progress` in [0, 1], to a sparsity of their own."""
    return {name: min(room[name], round((1 - own * progress) * sizes[name])) for name, own in sparsities.items()}


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
