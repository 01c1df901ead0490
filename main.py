"""Secateur's only entry point: reads the strings, finds the classes, hands over to a trainer or a tester."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from utils.errors import UserError
from utils.parallel.launch import check_command, process_group, told_by_first

if TYPE_CHECKING:
    import argparse

    import pluggy

    from utils.grids.points import Grid
    from utils.registry import Registry

ROOT = Path(__file__).resolve().parent
#: Set before torch is loaded, where the user has not. Its threads wait for each other by spinning; where a second
#: program wants the same cores, spinning long makes both many times slower. GNU's OpenMP reads this bound.
ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Turn a polite request to end into an exception, so that the run writes its last checkpoint."""
    raise SystemExit(128 + number)


def _with_requirements(error: ModuleNotFoundError, argv: list[str]) -> int:
    """Start again with the Python that `make` has set up; where there is none, say how to get it."""
    own = ROOT / ".venv" / "bin" / "python"
    if own.exists() and Path(sys.prefix) != own.parent.parent:
        os.execv(own, [str(own), str(ROOT / "main.py"), *argv])
    sys.stderr.write(
        f"error: the package {error.name} is not installed: run `make demo`, or pip install -r requirements.txt\n"
    )
    return 2


def main(argv: list[str]) -> int:
    """Run one command line and return its exit status.

    0; 2 for wrong input; 130 when interrupted, 143 when ended, 141 when nobody reads the output any more.
    """
    for name in ("SIGTERM", "SIGHUP"):
        request = getattr(signal, name, None)
        if request and signal.getsignal(request) is not signal.SIG_IGN:  # as nohup lets it
            signal.signal(request, _stop)
    try:
        os.environ.update(ENVIRONMENT | os.environ)
        with process_group():
            status = _answer(argv)
        sys.stdout.flush()
    except UserError as error:
        _say(f"error: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        _say("interrupted", error=True)
        return 130
    except BrokenPipeError:
        # As by `| head`. What is still to be written must not be tried again, and complained of, at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _answer(argv: list[str]) -> int:
    try:
        from utils.arguments import disabled_plugins
        from utils.grids.points import Grid
        from utils.hooks import plugin_manager
        from utils.listing import print_components
        from utils.registry import Registry
    except ModuleNotFoundError as error:
        return _with_requirements(error, argv)
    hooks, problems = plugin_manager(disabled_plugins(argv))
    for problem in problems:
        _say(f"warning: {problem}", error=True)
    registry = Registry(ROOT, hooks)
    if "--version" in argv:
        import secateur

        _say(f"secateur {secateur.__version__}")
        return 0
    arguments, argv = told_by_first(lambda: _read(argv, registry, hooks))
    if isinstance(arguments, Grid):
        from utils.grids.run_grid import run_grid

        return run_grid(arguments, ROOT)
    if arguments.list is not None:
        print_components(registry, arguments.list)
        return 0
    if arguments.help is not None:
        _say(arguments.help)
        return 0
    if arguments.report is not None:
        from utils.report.write import report

        for line in report(arguments, argv):
            _say(line)
        return 0
    from utils.run.execute import execute
    from utils.run.train_first import train_first

    origin = None
    if arguments.eval and not (arguments.checkpoint or arguments.foreign_weights):  # a tester that trains
        arguments, argv, origin = train_first(arguments, registry, hooks, ROOT, argv)
    execute(arguments, registry, hooks, ROOT, argv, origin)
    return 0


def _read(
    argv: list[str], registry: Registry, hooks: pluggy.PluginManager
) -> tuple[argparse.Namespace | Grid, list[str]]:
    """Return what a command line asks for, and the command line of that: for `--resume` the run's own."""
    from utils.arguments import parse
    from utils.grids.read_grid import read_grid
    from utils.run.resuming import resumed_arguments

    resumed = resumed_arguments(argv, registry, hooks)
    grid = read_grid(argv, registry, hooks) if resumed is None else None
    if grid and not grid.asked:
        check_command(None)
        return grid, argv
    if grid:
        argv = [*grid.points[0].argv, "--help"]  # of the components of its first run
    arguments, argv = resumed or (parse(argv, registry, hooks), argv)
    check_command(arguments)
    return arguments, argv


def _say(text: str, *, error: bool = False) -> None:
    """Write a line to standard output, or to standard error."""
    (sys.stderr if error else sys.stdout).write(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
