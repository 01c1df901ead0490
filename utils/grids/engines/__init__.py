"""What runs the runs of a grid: each engine starts runs, waits until one has ended, and stops what is left."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from utils.grids.outcome import Handle, Outcome
from utils.grids.points import Grid, Point


class Engine(Protocol):
    """One way to run runs side by side, each in a process of its own."""

    def start(self, point: Point) -> Handle:
        """Begin a run, whose folder comes to lie in the grid's."""

    def wait(self, running: list[Handle]) -> list[tuple[Handle, Outcome]]:
        """Return those that have ended, one at the least, waiting for it."""

    def stop(self, running: list[Handle]) -> None:
        """End these, letting them write their last checkpoints."""

    def close(self) -> None:
        """Give back what the engine holds."""


def engine_for(grid: Grid, root: Path) -> Engine:
    """Return the engine that `--engine` names. Raises `UserError` where its package is not installed."""
    if grid.arguments.engine == "ray":
        from utils.grids.engines.ray import Ray

        return Ray(grid, root)
    if grid.arguments.engine == "slurm":
        from utils.grids.engines.slurm import Slurm

        return Slurm(grid, root)
    from utils.grids.engines.local import Local

    return Local(grid, root)


def run_all(points: list[Point], engine: Engine, jobs: int) -> Iterator[tuple[Point, Outcome]]:
    """Run every point, at most `jobs` at a time; yield each as it ends. Closing this stops what still runs."""
    waiting, running = deque(points), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                point = waiting.popleft()
                running.append((engine.start(point), point))
            ended = engine.wait([handle for handle, _ in running])
            for handle, outcome in ended:
                position = next(number for number, (other, _) in enumerate(running) if other is handle)
                yield running.pop(position)[1], outcome
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(engine.close)
            if running:
                engine.stop([handle for handle, _ in running])
