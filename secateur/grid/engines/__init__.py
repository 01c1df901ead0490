"""What runs the runs of a grid: each engine starts runs, waits until one has ended, and stops what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from secateur.grid.controls import waits_for
from secateur.grid.outcome import Handle, Outcome
from secateur.grid.trials import Grid, Trial
from secateur.utils.errors import UserError


class Engine(Protocol):
    """One way to run runs side by side, each in a process of its own."""

    def start(self, trial: Trial) -> Handle:
        """Begin a run, whose folder comes to lie in the grid's."""

    def wait(self, running: list[Handle]) -> list[tuple[Handle, Outcome]]:
        """Return those that have ended, one at the least, waiting for it."""

    def stop(self, running: list[Handle]) -> None:
        """End these, letting them write their last checkpoints."""

    def close(self) -> None:
        """Give back what the engine holds."""


def engine_for(grid: Grid, main: Callable[[list[str]], int]) -> Engine:
    """Return the engine that `--engine` names; `main` makes a run of the words of a command line.

    Raises `UserError` where the engine's package is not installed.
    """
    if grid.options.engine == "ray":
        from secateur.grid.engines.ray import Ray

        return Ray(grid)
    if grid.options.engine == "slurm":
        from secateur.grid.engines.slurm import Slurm

        return Slurm(grid)
    from secateur.grid.engines.local import Local

    return Local(grid, main)


def run_all(trials: list[Trial], engine: Engine, jobs: int) -> Iterator[tuple[Trial, Outcome]]:
    """Run every trial, at most `jobs` at a time; yield each as it ends. Closing this stops what still runs.

    One that is a control begins when the run that it needs the results of has ended.
    """
    waiting, running = list(trials), []
    try:
        while waiting or running:
            while len(running) < jobs and (trial := _next(waiting, [other for _, other in running])):
                waiting.remove(trial)
                try:
                    running.append((engine.start(trial), trial))
                except UserError as error:  # of a control of a run that has failed
                    yield trial, Outcome(2, f"error: {error}")
            ended = engine.wait([handle for handle, _ in running]) if running else []
            for handle, outcome in ended:
                position = next(number for number, (other, _) in enumerate(running) if other is handle)
                yield running.pop(position)[1], outcome
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(engine.close)
            if running:
                engine.stop([handle for handle, _ in running])


def _next(waiting: list[Trial], running: list[Trial]) -> Trial | None:
    """The first trial that waits for no run still to end; None where there is none."""
    keys = {trial.key for trial in (*waiting, *running)}
    return next((trial for trial in waiting if waits_for(trial) not in keys), None)
