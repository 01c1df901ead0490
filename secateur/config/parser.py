"""Which options a command knows, and argparse from their records."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NoReturn

import pluggy

from secateur.config.names import NAMED_BY, ComponentNames
from secateur.config.option import Option, options_of
from secateur.config.registry import Registry
from secateur.config.source import ClassSource, Declared, module_path
from secateur.hooks import plugin_options
from secateur.utils.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argparse parser of options; its errors are one line, as `UserError`, and it yields what was typed alone."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        super().__init__(argument_default=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
        self._taken: dict[str, Declared] = {}
        #: The options, by flag.
        self.declared: dict[str, Declared] = {}
        for one in declared:
            self.add(one)

    def add(self, declared: Declared) -> None:
        """Add an option under its heading; of one flag the first record counts.

        Raises `UserError` where a flag would have two meanings.
        """
        option = declared.option
        for name in names_of(option):
            other = self._taken.setdefault(name, declared)
            if not _may_be_one(other, declared):
                plugin = declared.plugin or other.plugin
                where = f"plugin {plugin}: options: " if plugin else ""
                advice = f"; --disable_plugin {plugin} goes without it" if plugin else ": rename one of them"
                raise UserError(f"{where}--{name} is an option of {other.owner} and of {declared.owner}{advice}")
        if option.flag in self.declared:
            return
        self.declared[option.flag] = declared
        names = [dashed(name) for name in names_of(option)]
        if option.is_switch:
            self.add_argument(*names, action="store_true")
            return
        more = {"nargs": option.words} if option.words else {}
        if option.words == "?":
            more["const"] = option.alone
        self.add_argument(*names, dest=option.flag, type=_reader(option), **more)

    def typed(self, argv: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the values that were typed, by flag, and the words that belong to no flag that is known."""
        namespace, unknown = self.parse_known_args(argv)
        for flag, value in vars(namespace).items():
            if value == [] and not self.declared[flag].option.many:  # what argparse makes of `--flag --`
                raise UserError(f"--{flag}: expected one argument")
        return vars(namespace), unknown

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise UserError(message.removeprefix("argument "))


def names_of(option: Option) -> tuple[str, ...]:
    """Return the names of an option's flag, without dashes."""
    return (option.flag, *option.also)


def dashed(name: str) -> str:
    """Return a flag's name as it is typed."""
    return f"-{name}" if name == "h" else f"--{name}"


def with_underscores(word: str) -> str:
    """A word of the command line, a flag's dashes turned into underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _may_be_one(first: Declared, second: Declared) -> bool:
    """Whether two records of a name are one option: the same, or of components of a kind, of which a run has one."""
    of_a_kind = first.kind == second.kind != "" and first.option.flag == second.option.flag
    return of_a_kind or vars(first.option) == vars(second.option)


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return option.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


#: The classes, beside those of components, that read settings; in the order of `--help`.
READERS = (
    "secateur.config.names:ComponentNames",
    "secateur.data.options:DataOptions",
    "secateur.pruning.pruner:Pruner",
    "secateur.runs.options:RunOptions",
    "secateur.runs.options:CheckpointOptions",
    "secateur.runs.options:MachineOptions",
    "secateur.observers.pictures:Pictures",
    "secateur.observers.tensorboard:TensorBoard",
    "secateur.observers.weight_tracker:WeightTracker",
    "secateur.grid.options:GridOptions",
    "secateur.config.questions:Questions",
)
#: The kinds of component whose usual one always has a say in what a command may hold.
USUAL = ("prune_criterion", "loss", "train_scheme")
#: The kinds of component among whose options are some that every command knows, see `Option.general`.
SEARCHED = ("criterions", "losses", "trainers", "testers")


@cache
def options_of_reader(place: str) -> tuple[Declared, ...]:
    """Return the options of a class "package.module:Class", read from its source."""
    module, _, name = place.partition(":")
    return tuple(ClassSource(module_path(module), name).declared())


def flags_of(place: str) -> set[str]:
    """Return every name of the flags of a class "package.module:Class", without dashes."""
    return {name for one in options_of_reader(place) for name in names_of(one.option)}


def options_of_readers(hooks: pluggy.PluginManager) -> Iterator[Declared]:
    """Yield the options of every run, whichever components it consists of, and those of plugins."""
    for place in READERS:
        yield from options_of_reader(place)
    yield from plugin_options(hooks)


def usual_options(registry: Registry) -> Iterator[Declared]:
    """Yield the options of the criterion, loss and trainer that a run has where none is named."""
    defaults = options_of(ComponentNames)
    for flag in USUAL:
        yield from registry.find(NAMED_BY[flag], defaults[flag].default).declared()


def general_options(registry: Registry) -> Iterator[Declared]:
    """Yield the options of components that every command knows, also where those are not named."""
    for kind in SEARCHED:
        for component in registry.components(kind):
            yield from (one for one in component.declared_in_source() if one.option.general)
