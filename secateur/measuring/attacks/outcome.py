"""What attacks came to, as rows of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from secateur.measuring.attacks.catalogue import Attack
from secateur.measuring.attacks.search import Found

#: How the columns are shown.
FORMS = {
    "epsilon": "{:.4g}",
    "clean": "{:.2%}",
    "robust": "{:.2%}",
    "success": "{:.2%}",
    "median_norm": "{:.4g}",
    "samples_per_s": "{:,.1f}",
}


def rows_of(network: str, attack: Attack, epsilons: Sequence[float], found: Sequence[Found]) -> list[dict[str, Any]]:
    """One row for each epsilon of an attack on a network, over all the batches that were `found`."""
    broken = torch.cat([batch.broken for batch in found], dim=1)
    images, right = sum(batch.images for batch in found), broken.shape[1]
    norms = [norm for batch in found if batch.norms is not None for norm in batch.norms.tolist() if norm < math.inf]
    rows = []
    for place, epsilon in enumerate(epsilons):
        lost = int(broken[place].sum())
        seconds = sum(batch.seconds[place] for batch in found)
        rows.append(
            {
                "network": network,
                "attack": attack.name,
                "norm": attack.norm,
                "epsilon": epsilon,
                "images": images,
                "clean": right / images,
                "robust": (right - lost) / images,
                "success": lost / right if right else None,
                "median_norm": statistics.median(norms) if norms else None,
                "samples_per_s": right / seconds if right and seconds else None,
            }
        )
    return rows


def weaker_than_noise(rows: Sequence[dict[str, Any]], noise: set[str]) -> Iterator[str]:
    """Yield a line for each attack that finds less than `noise`, attacks by name, does within the same epsilon.

    Its robust accuracy then says something of the attack and nothing of the network.
    """
    drawn = {(row["network"], row["norm"], row["epsilon"]): row for row in rows if row["attack"] in noise}
    weak: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        control = drawn.get((row["network"], row["norm"], row["epsilon"]))
        if control and row["attack"] not in noise and row["robust"] > control["robust"]:
            weak.setdefault((row["attack"], row["network"]), []).append(f"{row['epsilon']:.4g}")
    for (attack, network), epsilons in weak.items():
        yield f"{attack} on {network} finds less than noise does within epsilon {', '.join(epsilons)}: distrust it"
