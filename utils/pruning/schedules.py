"""How a target is approached: cumulative sparsities, one for each pruning event, each larger than the one before."""

from __future__ import annotations

from collections.abc import Callable


def one_shot(limit: float, steps: int) -> list[float]:
    """Go to the limit at once; `steps` is not used."""
    return [limit]


def snip_it(limit: float, steps: int) -> list[float]:
    """Halve the distance to the limit at each step, from 0.5 on, and end at the limit itself.

    SNIP-it (Verdenius et al., 2020, algorithm 1): k_i = limit - (limit - 0.5) * 0.5^i for i = 0..steps, then limit.
    For a limit of 0.5 or less the formula starts at or beyond the limit, from where no weight comes back; the schedule
    then is the limit alone.
    """
    return _rising(limit, [limit - (limit - 0.5) * 0.5**i for i in range(steps + 1)])


def linear(limit: float, steps: int) -> list[float]:
    """Take the same number of weights at each step: limit * i / steps."""
    return _rising(limit, [limit * i / steps for i in range(1, steps)])


def exponential(limit: float, steps: int) -> list[float]:
    """Take the same share of what is left at each step: 1 - (1 - limit)^(i / steps).

    SynFlow (Tanaka et al., 2020, algorithm 1), FORCE (de Jorge et al., 2021, equation 8) and the rounds of the lottery
    ticket hypothesis (Frankle and Carbin, 2019, section 1).
    """
    return _rising(limit, [1 - (1 - limit) ** (i / steps) for i in range(1, steps)])


def cubic(limit: float, steps: int) -> list[float]:
    """Take many weights first and few at the end: limit * (1 - (1 - i / steps)^3).

    Gradual magnitude pruning (Zhu and Gupta, 2018, equation 1, from a sparsity of 0).
    """
    return _rising(limit, [limit * (1 - (1 - i / steps) ** 3) for i in range(1, steps)])


def _rising(limit: float, sparsities: list[float]) -> list[float]:
    """`sparsities` as far as each is above the one before and below the limit, then the limit itself, exactly."""
    return [*sorted({sparsity for sparsity in sparsities if 0 < sparsity < limit}), limit]


#: What `--prune_schedule` and a criterion's `schedule` can name: (limit, steps) -> cumulative sparsities.
SCHEDULES: dict[str, Callable[[float, int], list[float]]] = {
    schedule.__name__: schedule for schedule in (one_shot, snip_it, linear, exponential, cubic)
}
