"""How a target is approached: cumulative sparsities, one for each pruning event, each larger than the one before."""


def one_shot(limit: float, steps: int) -> list[float]:
    """Go to the limit at once; `steps` is not used."""
    return [limit]


def snip_it(limit: float, steps: int) -> list[float]:
    """Halve the distance to the limit at each step, from 0.5 on, and end at the limit itself.

    SNIP-it (Verdenius et al., 2020, algorithm 1): k_i = limit - (limit - 0.5) * 0.5^i for i = 0..steps, then limit.
    For a limit of 0.5 or less the formula starts at or beyond the limit, from where no weight comes back; the schedule
    then is the limit alone.
    """
    sparsities = [limit - (limit - 0.5) * 0.5**i for i in range(steps + 1)]
    return [sparsity for sparsity in sparsities if sparsity < limit] + [limit]


#: The flag behind `steps`.
snip_it.reads = ("snip_steps",)
