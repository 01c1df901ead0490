"""The command line, read in two passes: one finds which components were named, the next reads their options too.

Nothing here imports torch: a wrong flag is answered at once.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import pluggy
from rich_argparse import RichHelpFormatter

from utils.errors import UserError, nearest, one_line, raised_at
from utils.flags import StandsFor, add_flags, disable_plugin
from utils.hooks import add_plugin_arguments
from utils.registry import Component, Registry
from utils.run.checkpoint_facts import Checkpoint, find_checkpoint
from utils.run.foreign_file import ENDINGS, find_foreign
from utils.smoke import make_small

#: Which flag names a component of which kind.
NAMED_BY = {
    "model": "models",
    "data_set": "data_sets",
    "prune_criterion": "criterions",
    "loss": "losses",
    "train_scheme": "trainers",
    "test_scheme": "testers",
}
#: Without a value these would silently mean something else.
NEVER_EMPTY = ("--checkpoint_name", "--checkpoint_model", "--data_dir", "--results_dir")


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


def disabled_plugins(argv: list[str]) -> list[str]:
    """The plugins that a command line switches off, which must be known before any is imported."""
    parser = Parser()
    disable_plugin(parser)
    return parser.parse_known_args([with_underscores(word) for word in argv])[0].disable_plugin or []


def parse(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> argparse.Namespace:
    """Read the command line.

    Returns the arguments, with these additions: `explicit`, the names of those that were typed rather than left at
    their default; `general`, the flags of every run, whichever components it has, with the group each is in;
    `foreign_weights`, the file of another project that `--checkpoint_model` names (else None);
    `checkpoint`, the first one that was named (else None), and `checkpoints`, all of them; `data_options`, what the
    data set's own options say; and `help`, the rendered text where `--help` was asked for (else None).

    Raises `UserError` for anything that cannot be right.
    """
    argv = [with_underscores(word) for word in argv]
    _refuse_empty(argv)
    parser, first = parser_for(argv, registry, hooks)
    if first.list is not None:
        return first
    arguments, unknown = _read(parser, argv)
    if unknown and not first.help:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        word = next((word for word in unknown if word.startswith("--")), unknown[0])
        if not word.startswith("-"):
            raise UserError(f"'{word}' belongs to no flag: every argument is written --flag value")
        word = word.partition("=")[0]
        raise UserError(f"there is no flag {word}{nearest(word, flags)} (all: python3 main.py --help)")
    arguments.general, arguments.checkpoints = first.general, first.checkpoints
    arguments.data_options = {name: getattr(arguments, name) for name in first.data_options}
    arguments.foreign_weights = first.foreign_weights
    arguments.checkpoint = checkpoint = first.checkpoints[0] if first.checkpoints else None
    arguments.help = _help(parser) if first.help else None
    if arguments.help is None:
        _cross_check(arguments, _tester_trains(arguments, registry))
    if arguments.smoke:
        make_small(arguments, {action.dest for action in parser._actions} - first.general.keys())
    arguments.data_dir, arguments.results_dir = arguments.data_dir.absolute(), arguments.results_dir.absolute()
    if checkpoint:
        # What `latest` was, and where a relative path led to, is no longer known later.
        arguments.checkpoint_name = ",".join(str(one.path.parent.parent) for one in arguments.checkpoints)
        arguments.checkpoint_model = ",".join(one.path.name for one in arguments.checkpoints)
    elif arguments.foreign_weights:
        arguments.checkpoint_model = str(arguments.foreign_weights)
        if arguments.checkpoint_name:
            arguments.checkpoint_name = str(arguments.foreign_weights.parent)
    return arguments


def parser_for(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> tuple[Parser, argparse.Namespace]:
    """Return the parser that knows every option of the components that a command line names, and what names them.

    The namespace holds the flags of every run as they are typed, `foreign_weights`, `general` and `checkpoints`, as
    `parse` has them, and the names of `data_options`. With `--list` no component is looked for.
    """
    parser = Parser()
    add_flags(parser)
    own = registry.root / "gitignored"
    parser.set_defaults(data_dir=own / "data", results_dir=own / "results")
    general = {action.dest: group.title for group in parser._action_groups for action in group._group_actions}
    first, _ = _read(parser, argv)
    if first.list is not None:
        return parser, first
    foreign = find_foreign(first.results_dir.absolute(), first.checkpoint_name, first.checkpoint_model)
    checkpoints = [] if foreign else _named_checkpoints(first)
    if checkpoints:
        parser.set_defaults(**_taken_over(checkpoints[0], first.eval))
        first, _ = _read(parser, argv)
    if first.attack is not None:
        parser.set_defaults(test_scheme="AdversarialEvaluation")
        first, _ = _read(parser, argv)
    parser.set_defaults(**_implied(_named_components(first, registry), first.explicit))
    first, _ = _read(parser, argv)
    add_plugin_arguments(hooks, parser)
    data_options: list[str] = []
    first.foreign_weights = foreign
    for component in _named_components(first, registry):
        known = len(parser._actions)
        _add_options_of(component, parser)
        if component.kind == NAMED_BY["data_set"]:
            data_options = [action.dest for action in parser._actions[known:]]
    if checkpoints and "data_set" not in first.explicit:
        taken = checkpoints[0].facts.get("data_options", {})
        parser.set_defaults(**{name: value for name, value in taken.items() if name in data_options})
    first.general, first.checkpoints, first.data_options = general, checkpoints, data_options
    return parser, first


def _named_checkpoints(arguments: argparse.Namespace) -> list[Checkpoint]:
    """Find what `--checkpoint_name` and `--checkpoint_model` name: several of either are compared, or one of each."""
    folders = (arguments.checkpoint_name or "").split(",")
    models = (arguments.checkpoint_model or "").split(",")
    if folders == [""]:
        return []
    if 1 not in (len(folders), len(models)) and len(folders) != len(models):
        counts = f"{len(folders)} runs and {len(models)} models"
        raise UserError(f"--checkpoint_name and --checkpoint_model name {counts}: as many of both, or one of either")
    number = max(len(folders), len(models))
    if number > 1 and not arguments.eval:
        raise UserError(f"--checkpoint_name: training starts from one checkpoint, and these are {number}")
    if number > len(folders):
        folders *= number
    elif number > len(models):
        models *= number
    return [
        find_checkpoint(arguments.results_dir, folder, model or None)
        for folder, model in zip(folders, models, strict=True)
    ]


def _refuse_empty(argv: list[str]) -> None:
    for word, following in itertools.pairwise([*argv, "--"]):
        flag, equals, value = word.partition("=")
        if flag in NEVER_EMPTY and not (value if equals else following):
            raise UserError(f"{flag} is empty: give it a value or leave it out")


def _read(parser: Parser, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, with `explicit`, and the words that the parser does not know."""
    # Every option starts as a marker; argparse sets defaults only where an attribute is missing, so what is no longer
    # the marker was typed.
    unset = object()
    namespace = argparse.Namespace(**{action.dest: unset for action in parser._actions})
    _, unknown = parser.parse_known_args(argv, namespace)
    explicit = {name for name, value in vars(namespace).items() if value is not unset}
    values: dict[str, Any] = {}
    for action in parser._actions:  # the first of several flags for one value says its default
        values.setdefault(action.dest, getattr(namespace, action.dest) if action.dest in explicit else action.default)
    for action in parser._actions:
        if isinstance(action, StandsFor) and action.dest in explicit:
            option, flag = action.option, action.option_strings[0]
            if option in explicit and values[option].lower() != action.value.lower():
                raise UserError(f"{flag} is --{option} {action.value}, and --{option} {values[option]} contradicts it")
            values[option] = action.value
            explicit.add(option)
    return argparse.Namespace(**values, explicit=explicit), unknown


def _taken_over(checkpoint: Checkpoint, evaluated: bool) -> dict[str, Any]:
    """What a checkpoint says in place of flags that are not typed: its network and its data.

    To be evaluated as it was trained, it brings its loss and its seed too.
    """
    facts = checkpoint.facts
    taken = {name: facts[name] for name in ("model", "data_set")}
    taken |= {"input_dim": list(facts["input_shape"]), "output_dim": facts["num_classes"]}
    taken["disable_autoconfig"] = bool(facts.get("disable_autoconfig"))
    with contextlib.suppress(OSError, ValueError):  # of a path that is none
        if (place := Path(facts.get("data_dir", ""))).is_absolute() and place.exists():
            taken["data_dir"] = place
    if evaluated:
        taken |= {name: facts[name] for name in ("loss", "seed") if name in facts}
    return taken


def _implied(components: list[Component], explicit: set[str]) -> dict[str, str]:
    """What components set in place of flags that are not typed: their class attribute `implies`."""
    implied: dict[str, str] = {}
    for component in components:
        for flag, value in (component.source.implies if component.source else {}).items():
            if implied.setdefault(flag, value) != value and flag not in explicit:
                raise UserError(f"{component.name} wants --{flag} {value}, another wants {implied[flag]}: name one")
    return {flag: value for flag, value in implied.items() if flag not in explicit}


def with_underscores(word: str) -> str:
    """A word of the command line, a flag's dashes turned into underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _named_components(arguments: argparse.Namespace, registry: Registry) -> list[Component]:
    kinds = {flag: kind for flag, kind in NAMED_BY.items() if getattr(arguments, flag)}
    # A run trains or tests: the options of the other half would have no effect.
    if not arguments.eval:
        kinds.pop("test_scheme")
    elif not _tester_trains(arguments, registry):
        kinds.pop("train_scheme")
    return [registry.find(kind, getattr(arguments, flag)) for flag, kind in kinds.items()]


def _tester_trains(arguments: argparse.Namespace, registry: Registry) -> bool:
    """Whether this tests a network that is trained first where no checkpoint is named; see utils/run/train_first.py."""
    if not (arguments.eval and arguments.test_scheme):
        return False
    source = registry.find("testers", arguments.test_scheme).source
    return source is not None and source.trains


def _add_options_of(component: Component, parser: Parser) -> None:
    for owner, declare in component.declarations():
        group = parser.add_argument_group(f"options of {owner}")
        try:
            declare(group)
        except Exception as error:  # any error of the file's own code: name the file, not this one
            where = raised_at(error, declare.__code__.co_filename)
            raise UserError(f"the options of {owner}: {type(error).__name__}: {one_line(error)}{where}") from error


def _help(parser: Parser) -> str:
    """Render the help text. argparse fills in `%(default)s`, so that a per cent sign by itself is an error."""
    try:
        return parser.format_help()
    except (ValueError, TypeError, KeyError) as error:
        for action in parser._actions:
            try:
                parser._get_formatter()._expand_help(action)
            except (ValueError, TypeError, KeyError):
                option = "/".join(action.option_strings)
                raise UserError(f"the help text of {option}: {error}; a per cent sign is written %%") from error
        raise


def _cross_check(arguments: argparse.Namespace, tester_trains: bool) -> None:
    """Refuse flags that contradict each other, and fold `--compression` into `--pruning_limit`."""
    explicit = arguments.explicit
    if arguments.compression is not None:
        if "pruning_limit" in explicit:
            raise UserError("--compression and --pruning_limit say the same in two ways: give one of them")
        arguments.pruning_limit = 1 - 1 / arguments.compression
    if arguments.partial_checkpoint and not arguments.foreign_weights:
        raise UserError("--partial_checkpoint is for a file of another project: name it with --checkpoint_model")
    finished = arguments.checkpoint_name or arguments.foreign_weights
    if arguments.eval and not finished and not tester_trains:
        raise UserError("--eval needs --checkpoint_name: the name or path of a run folder, or latest")
    if arguments.force_train and (finished or not tester_trains):
        raise UserError("--force_train is for --eval --test_scheme Sparsification or Merging without --checkpoint_name")
    if arguments.checkpoint_model and not finished:
        raise UserError(
            "--checkpoint_model needs --checkpoint_name, the run folder that it lies in, or is the path of a file: "
            f"{', '.join(ENDINGS)}"
        )
    attack_flags = sorted(explicit & {"attack", "attack_epsilons", "attack_samples", "attack_norm"})
    if attack_flags and not arguments.eval:
        raise UserError(f"--{attack_flags[0]} is for --eval: name a finished run with --checkpoint_name")
    if attack_flags and arguments.test_scheme.lower() != "adversarialevaluation":
        wanted = "leave --test_scheme out" if arguments.attack else "name attacks with --attack, or all"
        raise UserError(f"--{attack_flags[0]} is for the tester AdversarialEvaluation: {wanted}")
    if "test_scheme" in explicit and not arguments.eval:
        raise UserError("--test_scheme is for --eval: a training run is tested by DefaultTester at its end")
    if arguments.input_dim is not None and len(arguments.input_dim) != 3:
        raise UserError("--input_dim takes three numbers, channels height width: --input_dim 3 32 32")
    if arguments.disable_autoconfig and not (arguments.input_dim and arguments.output_dim):
        raise UserError("--disable_autoconfig takes nothing from the data set: give --input_dim and --output_dim")
    if "/" in arguments.run_name or "\\" in arguments.run_name or not arguments.run_name.isprintable():
        raise UserError(
            f"--run_name {arguments.run_name!r} becomes part of a folder's name: leave out slashes and line breaks"
        )
    if len(os.fsencode(arguments.run_name)) > 200:
        raise UserError("--run_name is longer than 200 bytes, which a folder's name cannot hold")
