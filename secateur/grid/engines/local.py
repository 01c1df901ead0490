"""Runs of a grid as processes of this machine, forked from one that has imported torch already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, forkserver, process
from pathlib import Path

from secateur.grid.engines.command import python_path
from secateur.grid.outcome import Outcome
from secateur.grid.run_folders import command_of
from secateur.grid.trials import Grid, Trial

#: What every run imports, which takes seconds: its parts, what torch loads with its first optimizer, what draws.
PRELOADED = [
    *("secateur.runs.execute", "secateur.trainers.DefaultTrainer", "torch._dynamo"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
]


class Local:
    """Processes that share the cores of this machine; one that crashes, or is killed, ends no other."""

    def __init__(self, grid: Grid, main: Callable[[list[str]], int]) -> None:
        self.folder, self.main = grid.folder, main
        self.outputs = tempfile.TemporaryDirectory(prefix="secateur_")
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        with _environment(threads=max(1, cores() // (grid.options.jobs or 1))):
            forkserver.ensure_running()

    def start(self, trial: Trial) -> process.BaseProcess:
        """Fork a process that makes the run, or goes on with it."""
        arguments = (self.main, command_of(trial, self.folder), self._output(trial.label))
        started = self.context.Process(target=_run, args=arguments, name=trial.label)
        started.start()
        return started

    def wait(self, running: list[process.BaseProcess]) -> list[tuple[process.BaseProcess, Outcome]]:
        """Wait until a process has ended."""
        ready = set(connection.wait([one.sentinel for one in running]))
        ended = [one for one in running if one.sentinel in ready]
        for one in ended:
            one.join()
        return [(one, Outcome(one.exitcode, self._said(one.name))) for one in ended]

    def stop(self, running: list[process.BaseProcess]) -> None:
        """Ask the processes to end and wait for them; a second interruption of the waiting kills them."""
        for one in running:
            one.terminate()
        try:
            for one in running:
                one.join()
        except BaseException:
            for one in running:
                one.kill()
            raise

    def close(self) -> None:
        """Remove what the processes said."""
        self.outputs.cleanup()

    def _output(self, name: str) -> Path:
        return Path(self.outputs.name) / f"{name}.txt"

    def _said(self, name: str) -> str:
        try:
            return self._output(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # it was killed before it could say anything
            return ""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What the process that others are forked from finds in its environment: torch reads it once, when it is loaded."""
    before = dict(os.environ)
    os.environ.update({"OMP_NUM_THREADS": str(threads)} | before | python_path())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(main: Callable[[list[str]], int], argv: list[str], output: Path) -> None:
    """Be a run: what the forked process does."""
    os.setsid()  # Ctrl-C on the terminal reaches the grid alone, which ends its runs once
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main(argv))


def _end_with_parent() -> None:
    """Where the grid was killed, end as if asked to: started again, it runs this trial again."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
