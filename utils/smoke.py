"""`--smoke`: a run or a grid made tiny, to see that all of it runs before it takes days. Free of torch."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

#: Images that a smoke run trains on, and is tested on.
IMAGES = 2
#: Made-up images of each part of a data set that is not there; more than `IMAGES`, for `--tuning` to hold some out.
MADE_UP = 100
#: Of the sparsities of a schedule the last so many are approached.
EVENTS = 2
#: The most that a smoke run takes of these flags. In four epochs the two events fit wherever a criterion has them.
AT_MOST = {"N": IMAGES, "epochs": 4, "attack_samples": IMAGES}
#: And of these, and of every option called ..._epochs: an epoch.
ONE_EPOCH = ("prune_delay", "prune_freq", "rewind_to")
BATCH_SIZE = 2
#: Switches that are on: pictures take longer than the run.
SWITCHED_ON = (
    "disable_histograms",
    "disable_saliency",
    "disable_confusion",
    "disable_weightplot",
    "disable_netplot",
    "no_compact",
)


def make_small(arguments: argparse.Namespace, of_components: Collection[str]) -> None:
    """Reduce, in place, what makes a run long, whoever has set it.

    Of lists among the options of components, as a tester's sparsities, the last value stays.
    """
    for name, value in vars(arguments).items():
        if name in AT_MOST or name in ONE_EPOCH or name.endswith("_epochs"):
            setattr(arguments, name, None if value is None else min(value, AT_MOST.get(name, 1)))
        elif name in of_components and isinstance(value, list):
            setattr(arguments, name, value[-1:])
    arguments.batch_size = min(arguments.batch_size or BATCH_SIZE, BATCH_SIZE)
    for name in SWITCHED_ON:
        setattr(arguments, name, True)


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
