"""What runs the runs of a grid: each engine starts runs, waits until one has ended, and stops what is left."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from secateur.grid.outcome import Handle, Outcome
from secateur.grid.trials import Grid, Trial


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
    """Run every trial, at most `jobs` at a time; yield each as it ends. Closing this stops what still runs."""
    waiting, running = deque(trials), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = waiting.popleft()
                running.append((engine.start(trial), trial))
            ended = engine.wait([handle for handle, _ in running])
            for handle, outcome in ended:
                position = next(number for number, (other, _) in enumerate(running) if other is handle)
                yield running.pop(position)[1], outcome
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(engine.close)
            if running:
                engine.stop([handle for handle, _ in running])
