"""The command line: reads the strings, finds the classes, hands over to a trainer or a tester."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from secateur.config.places import CHECKOUT
from secateur.parallel.launch import broadcast_from_rank0, check_command, process_group
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    import pluggy

    from secateur.config.registry import Registry
    from secateur.config.settings import Settings
    from secateur.grid.trials import Grid

#: Set before torch is loaded, where the user has not. Its threads wait for each other by spinning; where a second
#: program wants the same cores, spinning long makes both many times slower. GNU's OpenMP reads this bound.
ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Turn a polite request to end into an exception, so that the run writes its last checkpoint."""
    raise SystemExit(128 + number)


def _with_requirements(error: ModuleNotFoundError, argv: list[str]) -> int:
    """Start again with the Python that `make` has set up; where there is none, say how to get it."""
    own = CHECKOUT / ".venv" / "bin" / "python" if CHECKOUT else None
    if own and own.exists() and Path(sys.prefix) != own.parent.parent:
        os.execv(own, [str(own), str(CHECKOUT / "main.py"), *argv])
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
        from secateur.config.command_line import disabled_plugins, own_components
        from secateur.config.listing import print_components
        from secateur.config.registry import Registry
        from secateur.grid.trials import Grid
        from secateur.hooks import plugin_manager
    except ModuleNotFoundError as error:
        return _with_requirements(error, argv)
    hooks, problems = plugin_manager(disabled_plugins(argv))
    for problem in problems:
        _say(f"warning: {problem}", error=True)
    registry = Registry(hooks, own_components(argv))
    if "--version" in argv:
        import secateur

        _say(f"secateur {secateur.__version__}")
        return 0
    asked, argv = broadcast_from_rank0(lambda: _read(argv, registry, hooks))
    if isinstance(asked, Grid):
        from secateur.grid.run_grid import run_grid

        return run_grid(asked, main)
    if asked["list"] is not None:
        print_components(registry, asked["list"])
    elif asked.help is not None:
        _say(asked.help)
    elif asked["completion"] is not None:
        from secateur.config.completion import completion

        _say(completion(asked["completion"], registry, hooks))
    elif asked["board"] is not None:
        from secateur.board.server import board

        board(asked, _say)
    elif asked["report"] is not None:
        from secateur.reports.write import report

        for line in report(asked, argv):
            _say(line)
    else:
        _run(asked, argv, registry, hooks)
    return 0


def _run(settings: Settings, argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> None:
    from secateur.runs.execute import execute
    from secateur.runs.train_first import train_first

    origin = None
    if settings["eval"] and not (settings.checkpoint or settings.external_weights):  # a tester that trains
        settings, argv, origin = train_first(settings, registry, hooks, argv)
    execute(settings, registry, hooks, argv, origin)


def _read(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> tuple[Settings | Grid, list[str]]:
    """Return what a command line asks for, and the command line of that: for `--resume` the run's own."""
    from secateur.config.command_line import parse
    from secateur.config.parser import flags_of

    named = _flags(argv)
    resumed, grid = None, None
    if "resume" in named:
        from secateur.runs.resuming import resumed_settings

        resumed = resumed_settings(argv, registry, hooks)
    if resumed is None and ("," in "".join(argv) or named & flags_of("secateur.grid.options:GridOptions")):
        from secateur.grid.read_grid import read_grid

        grid = read_grid(argv, registry, hooks)
    if grid and not grid.asked:
        check_command(None)
        return grid, argv
    if grid:
        argv = grid.trials[0].argv  # with --help, of the components of its first run
    settings, argv = resumed or (parse(argv, registry, hooks), argv)
    check_command(settings)
    return settings, argv


def _flags(argv: list[str]) -> set[str]:
    """The names of the flags of a command line."""
    return {word.lstrip("-").partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")}


def _say(text: str, *, error: bool = False) -> None:
    """Write a line to standard output, or to standard error."""
    stream = sys.stderr if error else sys.stdout
    stream.write(text.rstrip("\n") + "\n")
    stream.flush()


def entry() -> NoReturn:
    """Be the command `secateur`."""
    sys.exit(main(sys.argv[1:]))
