"""Which options a command knows, argparse from their records, and the help text."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NoReturn

import pluggy
from rich_argparse import RichHelpFormatter

from secateur.config.names import NAMED_BY, ComponentNames
from secateur.config.option import Option, options_of
from secateur.config.registry import Registry
from secateur.config.source import ClassSource, Declared, module_path
from secateur.hooks import plugin_options
from secateur.utils.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argparse parser of options; its errors are one line, as `UserError`, and it yields what was typed alone."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        super().__init__(
            prog="python3 main.py",
            description="Secateur, a laboratory for pruning neural networks: a run is assembled from strings.",
            epilog="Add --help to a command that names components to see the options that they declare themselves.",
            formatter_class=_HelpFormatter,
            argument_default=argparse.SUPPRESS,
            add_help=False,
            allow_abbrev=False,
        )
        self._headed: dict[str, argparse._ArgumentGroup] = {}
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
        if declared.title not in self._headed:
            self._headed[declared.title] = self.add_argument_group(declared.title)
        names = ["-h" if name == "h" else f"--{name}" for name in names_of(option)]
        shown = (option.help + _default(option)).replace("%", "%%")
        if option.is_switch:
            self._headed[declared.title].add_argument(*names, action="store_true", help=shown)
            return
        more = {"nargs": option.words} if option.words else {}
        if option.words == "?":
            more["const"] = option.alone
        choices = "{" + ",".join(option.choices) + "}" if option.choices and not option.metavar else option.shown
        self._headed[declared.title].add_argument(
            *names, dest=option.flag, type=_reader(option), metavar=choices, help=shown, **more
        )

    def typed(self, argv: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the values that were typed, by flag, and the words that belong to no flag that is known."""
        namespace, unknown = self.parse_known_args(argv)
        for flag, value in vars(namespace).items():
            if value == [] and not self.declared[flag].option.many:  # what argparse makes of `--flag --`
                raise UserError(f"--{flag}: expected one argument")
        return vars(namespace), unknown

    def format_help(self) -> str:
        """Return the help text, what people look for first before the rest."""
        first = {title: place for place, title in enumerate(FIRST)}
        self._action_groups.sort(key=lambda group: first.get(group.title, len(first)))
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise UserError(message.removeprefix("argument "))


def names_of(option: Option) -> tuple[str, ...]:
    """Return the names of an option's flag, without dashes."""
    return (option.flag, *option.also)


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


def _default(option: Option) -> str:
    default = option.default
    if default is None or default == "" or option.is_switch or "(default:" in option.help:
        return ""
    return f" (default: {','.join(map(str, default)) if option.many else default})"


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
#: The headings that `--help` begins with.
FIRST = ("what a run consists of", "network and data", "pruning", "training")
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
