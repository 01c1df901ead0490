"""The command line, read in two passes: one finds which components were named, the next reads their options too.

Nothing here imports torch: a wrong flag is answered at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

import pluggy
from rich_argparse import RichHelpFormatter

from utils.errors import UserError, nearest
from utils.flags import add_flags
from utils.hooks import add_plugin_arguments
from utils.registry import Component, Registry

#: Which flag names a component of which kind.
NAMED_BY = {
    "model": "models",
    "data_set": "data_sets",
    "prune_criterion": "criterions",
    "loss": "losses",
    "train_scheme": "trainers",
    "test_scheme": "testers",
}


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line, as `UserError`."""

    def __init__(self) -> None:
        super().__init__(
            prog="python3 main.py",
            description="Secateur, a laboratory for pruning neural networks: a run is assembled from strings.",
            epilog="Add --help to a command that names components to see the options that they declare themselves.",
            formatter_class=_HelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise UserError(message.removeprefix("argument "))


class _HelpFormatter(RichHelpFormatter):
    group_name_formatter = str  # file names keep their case
    help_markup = text_markup = False  # [brackets] are shown, not read

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: Any = None) -> None:
        """Show a usage a person can read instead of all flags in a row."""
        super().add_usage(
            "%(prog)s [--model NAME] [--data_set NAME] [--prune_criterion NAME] [FLAGS]", actions, groups, prefix
        )


def parse(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> argparse.Namespace:
    """Read the command line.

    Returns the arguments, with two additions: `explicit`, the names of those that were typed rather than left at their
    default, and `help`, the rendered help text where `--help` was asked for (else None).

    Raises `UserError` for anything that cannot be right.
    """
    argv = [_with_underscores(word) for word in argv]
    parser = Parser()
    add_flags(parser)
    first, _ = parser.parse_known_args(argv)
    if first.list is not None:
        return first
    add_plugin_arguments(hooks, parser)
    named = _named_components(first, registry)
    for component in named:
        _add_options_of(component, parser)
    # Every option starts as a marker; argparse sets defaults only where an attribute is missing, so what is no longer
    # the marker was typed.
    unset = object()
    namespace = argparse.Namespace(**dict.fromkeys((action.dest for action in parser._actions), unset))
    _, unknown = parser.parse_known_args(argv, namespace)
    if unknown and not first.help:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        word = next((word for word in unknown if word.startswith("--")), unknown[0]).partition("=")[0]
        if not word.startswith("-"):
            raise UserError(f"'{word}' belongs to no flag: every argument is written --flag value")
        raise UserError(f"there is no flag {word}{nearest(word, flags)} (all: python3 main.py --help)")
    explicit = {name for name, value in vars(namespace).items() if value is not unset}
    arguments = argparse.Namespace(
        **{
            action.dest: getattr(namespace, action.dest) if action.dest in explicit else action.default
            for action in parser._actions
        }
    )
    arguments.explicit = explicit
    arguments.help = parser.format_help() if first.help else None
    if arguments.help is None:
        _cross_check(arguments)
    return arguments


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _named_components(arguments: argparse.Namespace, registry: Registry) -> list[Component]:
    kinds = {flag: kind for flag, kind in NAMED_BY.items() if getattr(arguments, flag)}
    # A run trains or tests: the options of the other half would have no effect.
    kinds.pop("train_scheme" if arguments.eval else "test_scheme", None)
    return [registry.find(kind, getattr(arguments, flag)) for flag, kind in kinds.items()]


def _add_options_of(component: Component, parser: Parser) -> None:
    for owner, declare in component.declarations():
        group = parser.add_argument_group(f"options of {owner}")
        try:
            declare(group)
        except Exception as error:  # any error of the file's own code: name the file, not this one
            raise UserError(f"the options of {owner}: {type(error).__name__}: {error}") from error


def _cross_check(arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, and fold `--compression` into `--pruning_limit`."""
    explicit = arguments.explicit
    if arguments.compression is not None:
        if "pruning_limit" in explicit:
            raise UserError("--compression and --pruning_limit say the same in two ways: give one of them")
        arguments.pruning_limit = 1 - 1 / arguments.compression
    if arguments.eval and not arguments.checkpoint_name:
        raise UserError("--eval needs --checkpoint_name: the name or path of a run folder, or latest")
    if arguments.checkpoint_model and not arguments.checkpoint_name:
        raise UserError("--checkpoint_model needs --checkpoint_name: the run folder that it lies in")
    if "test_scheme" in explicit and not arguments.eval:
        raise UserError("--test_scheme is for --eval: a training run is tested by DefaultTester at its end")
    if arguments.input_dim is not None and len(arguments.input_dim) != 3:
        raise UserError("--input_dim takes three numbers, channels height width: --input_dim 3 32 32")
    if arguments.disable_autoconfig and not (arguments.input_dim and arguments.output_dim):
        raise UserError("--disable_autoconfig takes nothing from the data set: give --input_dim and --output_dim")
    if "/" in arguments.run_name or "\\" in arguments.run_name or "\0" in arguments.run_name:
        raise UserError(f"--run_name '{arguments.run_name}' becomes part of a folder's name: leave out slashes")
    if len(arguments.run_name.encode()) > 200:
        raise UserError("--run_name is longer than 200 bytes, which a folder's name cannot hold")
