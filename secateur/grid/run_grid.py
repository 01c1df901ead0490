"""A grid from its beginning to its end: what is missing runs, and the index says what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from secateur.grid.engines import Engine, engine_for, run_all
from secateur.grid.index import DONE, FAILED, TO_RUN, Index
from secateur.grid.progress import SMOKE, GridProgress, counted, how_far, show_plan
from secateur.grid.trials import Grid, Trial
from secateur.grid.turns import own_turn
from secateur.runs.failures import defer_signals
from secateur.utils.terminal import Terminal


def run_grid(grid: Grid, main: Callable[[list[str]], int]) -> int:
    """Run what of the grid is missing, was interrupted or has failed; return the status, 1 where a run has failed.

    Raises `UserError` before anything is written where the engine cannot be had.
    """
    index = Index(grid)
    index.read()
    waiting = index.in_state(*TO_RUN)
    if grid.options.dry_run:
        show_plan(grid, index, _jobs(grid, waiting))
        return 0
    engine = engine_for(grid, main) if waiting else None
    with own_turn(grid.folder, partial(Terminal(width=120).print, soft_wrap=True, highlight=False)):
        return _run_missing(grid, engine, index)


def _jobs(grid: Grid, waiting: list[Trial]) -> int:
    """How many run at a time."""
    return grid.options.jobs or (1 if grid.options.engine == "local" else max(1, len(waiting)))


def _run_missing(grid: Grid, engine: Engine | None, index: Index) -> int:
    index.read()  # anew: another process may have had its turn
    waiting = index.in_state(*TO_RUN)
    jobs = _jobs(grid, waiting)
    index.write_grid()
    for trial in waiting:
        index.forget_failure(trial)
    index.read()
    index.write()
    with GridProgress(grid, len(waiting), jobs) as progress:
        progress.say(f"grid folder: {grid.folder}")
        if grid.smoke_of:
            progress.say(SMOKE.format(grid.smoke_of))
        progress.say(f"{counted(len(grid.trials))}: {how_far(index)}")
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


def _run(waiting: list[Trial], engine: Engine, jobs: int, index: Index, progress: GridProgress) -> None:
    with contextlib.closing(run_all(waiting, engine, jobs)) as outcomes:
        for trial, outcome in outcomes:
            with defer_signals():
                if index.read_one(trial)["status"] != DONE:
                    index.note_failure(trial, outcome.error, outcome.last_lines)
                progress.ran(index.read_one(trial))
                index.write()
