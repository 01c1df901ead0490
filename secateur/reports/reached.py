"""How much was pruned of a group, beside what was asked for: methods are compared at the latter."""

from __future__ import annotations

from secateur.reports.groups import Group, mean
from secateur.reports.run_options import has_limit, unit_of

#: What is kept may differ from what was asked for by this fraction of it, as where layers round.
ROUNDING = 0.05
#: Of what a criterion prunes, the figure of results.json that says how much.
SPARSITY = {"weights": "weight_sparsity", "units": "node_sparsity"}


def missed(group: Group) -> float | None:
    """The compression that a group has reached, the inverse of its mean density; None if it is the one asked for.

    It is that of weights or, of criteria that remove channels, of hidden units and channels. A weight counts as pruned
    if it is zero, whatever the mask says: weights that SET regrows at zero, and that get no gradient, are.
    """
    settings, limit = group.runs[0].settings, group.strength[0]
    found = mean(run.figure(SPARSITY[unit_of(settings)]) for run in group.runs)
    if found is None or not has_limit(settings) or max(found.value, limit) >= 1:
        return None
    kept, asked = 1 - found.value, 1 - limit
    return 1 / kept if abs(kept - asked) > ROUNDING * asked else None
