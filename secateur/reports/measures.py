"""What the groups of a report are compared by: of each run a number, with the unit of its axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secateur.reports.collect import RunRecord
from secateur.reports.groups import Group, Mean, mean

MOST_DECIMALS = 6


@dataclass(frozen=True)
class Measure:
    """Something to compare, of each run."""

    name: str
    #: What an axis says, with the unit.
    label: str
    of: Callable[[RunRecord], float | None]
    #: From the run's number to the axis's unit.
    factor: float = 1
    #: Of all numbers of a column; None: as many as let the smallest of them have three digits, at most `MOST_DECIMALS`.
    decimals: int | None = 2

    def mean(self, group: Group) -> Mean | None:
        """Over the runs of a group."""
        return mean(self.of(run) for run in group.runs)

    def decimals_of(self, means: Sequence[Mean | None]) -> int:
        """With how many decimals a column of these is written."""
        if self.decimals is not None:
            return self.decimals
        sizes = [abs(one.value) * self.factor for one in means if one]
        smallest = min((size for size in sizes if 0 < size < math.inf), default=1.0)
        return min(max(2 - math.floor(math.log10(smallest)), 0), MOST_DECIMALS)


def _figure_of(name: str) -> Callable[[RunRecord], float | None]:
    return lambda run: run.figure(name)


def _ratio(above: str, below: str) -> Callable[[RunRecord], float | None]:
    def of(run: RunRecord) -> float | None:
        one, other = run.figure(above), run.figure(below)
        return one / other if one and other else None

    return of


ACCURACY = Measure("accuracy", "accuracy [%]", lambda run: run.accuracy, 100)
TOP5 = Measure("top5_accuracy", "top-5 accuracy [%]", lambda run: run.top5_accuracy, 100)
COMPRESSION = Measure("compression", "compression: dense weights for each that is kept", lambda run: run.compression)
NODES = Measure("nodes", "hidden units and channels pruned [%]", _figure_of("node_sparsity"), 100)
PARAMETERS = Measure("parameters", "parameters kept", _figure_of("parameters_kept"), 1, 0)
BYTES = Measure("bytes", "checkpoint [kB]", _figure_of("checkpoint_bytes"), 1e-3, 1)
FLOPS = Measure("flops", "effective FLOPs of an image [millions]", _figure_of("flops_effective"), 1e-6, None)
TRAINING_FLOPS = Measure(
    "training_flops", "effective FLOPs of training [billions]", _figure_of("flops_training_total"), 1e-9, None
)
TESTING = Measure("testing_time", "time of testing the whole set [s]", _figure_of("seconds_testing"), 1, None)
TRAINING = Measure("training_time", "time of training [s]", _figure_of("seconds_training"), 1, None)


def time_to(accuracy: float) -> Measure:
    """The time of training until an accuracy, a fraction in (0, 1], is reached; of the runs that reach it."""
    label = f"time to {100 * accuracy:g} % accuracy [s]"
    return Measure("time_to_accuracy", label, lambda run: run.seconds_to(accuracy), 1, 1)


LATENCY = {
    size: Measure(
        f"latency_batch_{size}",
        f"latency of {size} image{'s' if size > 1 else ''} [ms]",
        _figure_of(f"latency_ms_batch_{size}"),
        1,
        3,
    )
    for size in (1, 64)
}
#: Measured, and by counting: as if a weight that is zero took no time.
SPEED_UP = {
    size: Measure(
        f"speed_up_batch_{size}",
        "times as fast as dense",
        _ratio(f"latency_dense_ms_batch_{size}", f"latency_ms_batch_{size}"),
    )
    for size in (1, 64)
}
THEORETICAL = Measure("theoretical_speed_up", "dense FLOPs / effective FLOPs", _ratio("flops_dense", "flops_effective"))
