"""How much each layer may lose by a table of what that has cost: the densities of `--distribution sensitivity`.

The table, which the tester Sensitivity makes, has the accuracy of the network with one layer pruned to some sparsities
and all others whole. All layers are then pruned as far as costs each the same accuracy by its own row; by such a scan
Han et al., 2015, "Learning both Weights and Connections", choose the threshold of each layer.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

from secateur.pruning.selection import rounded
from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError

#: The accuracy by sparsity of each layer, both in [0, 1]: (sparsity, accuracy), from (0, that of the whole network) on.
Table = dict[str, list[tuple[float, float]]]


@cache
def read_table(run: Path) -> Table:
    """Read what a finished run of the tester Sensitivity has left. Raises `UserError` where that is not one."""
    path = run / "output" / "results.json"
    try:
        rows = read_checksummed(path)["sensitivity"]
        return table_of(rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--sensitivity {run} is not a finished run of the tester Sensitivity") from error


def table_of(rows: list[dict]) -> Table:
    """Return the table of rows with the keys layer, sparsity and accuracy after recalibration."""
    table: Table = {}
    for row in rows:
        table.setdefault(row["layer"], []).append((float(row["sparsity"]), float(row["recalibrated_accuracy"])))
    return {layer: sorted(points) for layer, points in table.items()}


def sparsity_within(points: list[tuple[float, float]], drop: float) -> float:
    """Return the largest sparsity up to which a layer costs at most `drop` of the accuracy, between points on a line.

    Accuracy that comes back at a larger sparsity does not count; without any weight it is 0.
    """
    highest = points[0][1]
    least = highest - drop
    for (left, above), (right, below) in itertools.pairwise([*points, (1.0, 0.0)]):
        above, below = min(above, highest), min(below, highest)
        if below < least:
            return left + (right - left) * max(0.0, above - least) / (above - below)
    return 1.0


def spread(table: Table, sizes: dict[str, int], keep: float) -> dict[str, float]:
    """Return how much each layer keeps, `keep` in all of the `sizes`, so that all cost the same accuracy.

    Raises `UserError` where the table lacks a layer.
    """
    if missing := [name for name in sizes if name not in table]:
        raise UserError(f"--sensitivity has no layer {missing[0]}: its network, or what it has pruned, is another")

    def kept(drop: float) -> dict[str, float]:
        return {name: (1 - sparsity_within(table[name], drop)) * size for name, size in sizes.items()}

    free, total = kept(0.0), sum(sizes.values())
    if sum(free.values()) < keep:  # part of the way to what costs nothing
        fraction = (keep - sum(free.values())) / (total - sum(free.values()))
        return {name: one + fraction * (sizes[name] - one) for name, one in free.items()}
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(kept(middle).values()) > keep else (low, middle)
    found, total = kept(high), sum(kept(high).values())
    before = sum(kept(low).values())
    if before - total > 1e-9:  # where accuracy stays as it is over a range of sparsities, part of the way
        more, fraction = kept(low), (keep - total) / (before - total)
        found = {name: one + fraction * (more[name] - one) for name, one in found.items()}
    return found


def table_counts(run: Path, sizes: dict[str, int], keep: int, fixed: dict[str, int]) -> dict[str, int]:
    """Say how many weights each layer keeps, `keep` in all, of which some layers have a `fixed` number."""
    others = {name: size for name, size in sizes.items() if name not in fixed}
    left = keep - sum(fixed.values())
    return fixed | (rounded(spread(read_table(run), others, left), left, others) if others else {})
