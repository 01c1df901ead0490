"""Which groups of channels are ranked together, and how many of them go."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from torch import nn

from secateur.channels.groups import Group, overlapping, shape_of
from secateur.utils.errors import UserError

#: What `--distribution` can name of channels.
DISTRIBUTIONS = ("global", "uniform", "isomorphic", "sensitivity")


def ranked_together(
    network: nn.Module, groups: dict[str, Group], distribution: str, own: dict[str, float], sparsity: float
) -> list[tuple[list[str], float]]:
    """Divide groups, by root, into parts that are ranked each for itself, with the sparsity in [0, 1) of each.

    Groups of layers that have a sparsity of their `own` have it; of the others each part has the same `sparsity`: all
    of them are one part, each is one, or those that are alike (Fang et al., 2024). Raises `UserError` where layers
    that go together are to have several sparsities.
    """
    alone: list[tuple[list[str], float]] = []
    together: dict[object, list[str]] = {}
    for coupled in overlapping(groups):
        layers = {name for root in coupled for name, _, _ in groups[root].outputs}
        asked = {name: own[name] for name in layers & own.keys()}
        if len({*asked.values()}) > 1:
            one, other = min(asked, key=asked.get), max(asked, key=asked.get)
            raise UserError(f"--layer_sparsity: the channels of {one} and {other} go together, by one sparsity")
        if asked:
            alone.append((coupled, next(iter(asked.values()))))
            continue
        kind = {
            "global": None,
            "sensitivity": None,
            "uniform": tuple(coupled),
            "isomorphic": tuple(shape_of(network, groups[root]) for root in coupled),
        }[distribution]
        together.setdefault(kind, []).extend(coupled)
    return [*((roots, sparsity) for roots in together.values()), *alone]


def shares_of(
    table: Path, groups: dict[str, Group], dense: Counter[str], own: dict[str, float], sparsity: float
) -> dict[str, float]:
    """Return the sparsity of the layers by which a table of sensitivities has tried groups, and those of their `own`.

    `dense` are the outputs of layers before anything was removed. Raises `UserError` where it lacks a group.
    """
    from secateur.pruning.sensitivity import read_table, spread

    found = read_table(table)
    sizes: dict[str, int] = {}
    for coupled in overlapping(groups):
        layers = list(dict.fromkeys(name for root in coupled for name, _, _ in groups[root].outputs))
        if own.keys() & layers:
            continue
        tried = next((name for name in layers if name in found), layers[0])
        sizes[tried] = sum(dense[name] for name in layers)
    kept = spread(found, sizes, (1 - sparsity) * sum(sizes.values()))
    return own | {name: 1 - kept[name] / size for name, size in sizes.items()}
