"""Groups of runs without folders, by the accuracies of their seeds."""

from pathlib import Path

from secateur.reports.collect import RunRecord
from secateur.reports.groups import Group

PANEL = "Net on Data"


def made(line, accuracies, target="10x", panel=PANEL, limit=0.9, control="", classes=None, densities=None, **results):
    """A group of a run for each accuracy, of the seeds from 1 on; None is a seed that has not run."""
    runs = [
        RunRecord(
            Path(f"{line}_{seed}"),
            settings={"prune_criterion": line.partition(", ")[0], "seed": seed},
            results={"test_accuracy": accuracy, "layer_densities": densities, **results},
            classes=classes,
        )
        for seed, accuracy in enumerate(accuracies, start=1)
        if accuracy is not None
    ]
    return Group(panel, line, target, (limit,), runs, control)


def dense(accuracies, line="EmptyCrit", **more):
    """A group in which nothing is pruned."""
    return made(line, accuracies, "1x", limit=0.0, **more)


def texts(table):
    """What a person reads in each cell."""
    return [[cell.text for cell in row] for row in table.rows]


def values(table):
    """What each cell is sorted by."""
    return [[cell.value for cell in row] for row in table.rows]
