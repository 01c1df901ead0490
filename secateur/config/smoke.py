"""`--smoke`: a run or a grid made tiny, to see that all of it runs before it takes days. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

#: Images that a smoke run trains on, and is tested on, and those of a batch.
IMAGES = BATCH_SIZE = 2
#: Synthetic images of each part of a data set that is not there; more than `IMAGES`, for `--tuning` to hold some out.
SYNTHETIC = 100
#: Of the sparsities of a schedule the last so many are approached.
LAST_STEPS = 2


def few_of(runs: Sequence[dict[str, tuple[str, ...]]]) -> list[int]:
    """Choose runs of a grid so that every value of every flag is in one of them; of numbers the smallest and largest.

    `runs` are the flags of each, with the words that follow them. Returns positions, in their order. The next is always
    the first of those that have most of what is still missing, so that a product of lists takes as many runs as the
    longest list has values, not the product.
    """
    wanted: set[tuple[str, tuple[str, ...] | None]] = set()
    for flag in dict.fromkeys(flag for run in runs for flag in run):
        values = list(dict.fromkeys(run.get(flag) for run in runs))
        numbers = sorted((value for value in values if _is_number(value)), key=lambda value: float(value[0]))
        wanted |= {(flag, value) for value in values if value not in numbers[1:-1]}
    chosen: list[int] = []
    while wanted:
        best = max(range(len(runs)), key=lambda number: sum(runs[number].get(flag) == value for flag, value in wanted))
        chosen.append(best)
        wanted = {(flag, value) for flag, value in wanted if runs[best].get(flag) != value}
    return sorted(chosen)


def _is_number(value: tuple[str, ...] | None) -> bool:
    try:
        float("".join(value or ("no number",)))
    except ValueError:
        return False
    return True
