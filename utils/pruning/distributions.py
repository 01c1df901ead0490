"""How the kept weights are spread over the layers, and in which pattern. Without torch: `--help` reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from utils.errors import UserError


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
    """Read `--pattern`: "2:4" is (2, 4), "unstructured" is None."""
    if text == "unstructured":
        return None
    keep, _, group = text.partition(":")
    return int(keep), int(group)


def check_pattern(text: str) -> str:
    """Return `text` where it is unstructured or N:M with 0 < N < M; raises `UserError` otherwise."""
    parts = text.split(":")
    fits = len(parts) == 2 and all(part.isdecimal() for part in parts) and 0 < int(parts[0]) < int(parts[1]) <= 1024
    if text != "unstructured" and not fits:
        raise UserError(f"--pattern '{text}' is not unstructured or N:M with N < M, as 2:4")
    return text
