"""A grid from its beginning to its end: what is missing runs, and the index says what came of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from utils.grids.engines import Engine, engine_for, run_all
from utils.grids.index import DONE, FAILED, TO_RUN, Index
from utils.grids.points import Grid, Point
from utils.grids.progress import SMOKE, GridProgress, counted, how_far, show_plan
from utils.run.interruptions import held_back


def run_grid(grid: Grid, root: Path) -> int:
    """Run what of the grid is missing, was interrupted or has failed; return the status, 1 where a run has failed.

    Raises `UserError` before anything is written where the engine cannot be had.
    """
    index = Index(grid)
    index.read()
    waiting = index.in_state(*TO_RUN)
    jobs = grid.arguments.jobs or (1 if grid.arguments.engine == "local" else max(1, len(waiting)))
    if grid.arguments.dry_run:
        show_plan(grid, index, jobs)
        return 0
    engine = engine_for(grid, root) if waiting else None
    index.write_grid()
    for point in waiting:
        index.forget_failure(point)
    index.read()
    index.write()
    with GridProgress(grid, len(waiting), jobs) as progress:
        progress.say(f"grid folder: {grid.folder}")
        if grid.smoke_of:
            progress.say(SMOKE.format(grid.smoke_of))
        progress.say(f"{counted(len(grid.points))}: {how_far(index)}")
        try:
            if engine:
                _run(waiting, engine, jobs, index, progress)
        finally:
            index.read()
            index.write()
    failed = index.in_state(FAILED)
    if failed:
        progress.say(f"{counted(len(failed))} failed; the last that each said is in {index.failures}")
    progress.say(f"index: {grid.folder / 'index.csv'}")
    return 1 if failed else 0


def _run(waiting: list[Point], engine: Engine, jobs: int, index: Index, progress: GridProgress) -> None:
    with contextlib.closing(run_all(waiting, engine, jobs)) as outcomes:
        for point, outcome in outcomes:
            with held_back():
                if index.read_one(point)["status"] != DONE:
                    index.note_failure(point, outcome.error, outcome.last_lines)
                progress.ran(index.read_one(point))
                index.write()
