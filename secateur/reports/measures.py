"""What the groups of a report are compared by: of each run a number, with the unit of its axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secateur.reports.collect import RunRecord
from secateur.reports.groups import Group, Mean, mean


@dataclass(frozen=True)
class Measure:
    """Something to compare, of each run."""

    name: str
    #: What an axis says, with the unit.
    label: str
    of: Callable[[RunRecord], float | None]
    #: From the run's number to the axis's unit.
    factor: float = 1
    form: str = "{:.2f}"

    def mean(self, group: Group) -> Mean | None:
        """Over the runs of a group."""
        return mean(self.of(run) for run in group.runs)


def _figure_of(name: str) -> Callable[[RunRecord], float | None]:
    return lambda run: run.figure(name)


def _speed_up(batch: int) -> Callable[[RunRecord], float | None]:
    def of(run: RunRecord) -> float | None:
        pruned, dense = (run.figure(f"latency_{which}_batch_{batch}") for which in ("ms", "dense_ms"))
        return dense / pruned if pruned and dense else None

    return of


ACCURACY = Measure("accuracy", "accuracy [%]", lambda run: run.accuracy, 100)
COMPRESSION = Measure("compression", "compression: dense weights for each that is kept", lambda run: run.compression)
NODES = Measure("nodes", "hidden units and channels pruned [%]", _figure_of("node_sparsity"), 100)
FLOPS = Measure("flops", "effective FLOPs of an image [millions]", _figure_of("flops_effective"), 1e-6, "{:.4g}")
TESTING = Measure("testing_time", "time of testing the whole set [s]", _figure_of("seconds_testing"), 1, "{:.3f}")
TRAINING = Measure("training_time", "time of training [s]", _figure_of("seconds_training"), 1, "{:.1f}")
LATENCY = {
    size: Measure(
        f"latency_batch_{size}",
        f"latency of {size} image{'s' if size > 1 else ''} [ms]",
        _figure_of(f"latency_ms_batch_{size}"),
        1,
        "{:.3f}",
    )
    for size in (1, 64)
}
SPEED_UP = {size: Measure(f"speed_up_batch_{size}", "times as fast as dense", _speed_up(size)) for size in (1, 64)}
