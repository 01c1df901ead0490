"""The runs of a grid: which combinations of flags the command line and `--grid FILE` ask for. Free of torch."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pluggy

from utils.arguments import NAMED_BY, Parser, parse, parser_for, with_underscores
from utils.errors import UserError, nearest
from utils.flags import MANY_RUNS, add_flags
from utils.grids.grid_file import GridFile, read_grid_file
from utils.hooks import add_plugin_arguments
from utils.ranges import commas_of
from utils.registry import Registry
from utils.smoke import few_of

#: The words that follow a flag on the command line, of a switch none; by the flag's name without dashes.
Settings = dict[str, tuple[str, ...]]
#: Other names of flags that hold several values, in words of their own.
LISTS = {"pruner_list": "prune_criterion", "compression_list": "compression"}
#: These name the folder of the grid, and belong to no run.
PLACES = ("results_dir", "run_name")
#: Questions, and what is imported to read the file: of the command line alone.
ONCE = {"list", "version", "h", "disable_plugin"}


@dataclass(frozen=True)
class Point:
    """One run of a grid."""

    settings: Settings
    #: The flags that vary within the grid and how this run has them: a number, a text, or None where it has not.
    varying: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """Eight hexadecimal digits that tell runs of different settings apart, in any grid."""
        return digits(json.dumps(sorted(self.settings.items())))

    @cached_property
    def label(self) -> str:
        """The run's name: readable, and unique by its key, which is its end."""
        parts = [
            value if flag in NAMED_BY or value == flag else f"{flag}-{value}" for flag, value in self.shown().items()
        ]
        text = re.sub(r"[^\w.+-]+", "-", "_".join(parts), flags=re.ASCII)[:100].strip("-_.")
        return f"{text or 'run'}_{self.key}"

    def shown(self) -> dict[str, str]:
        """The flags that vary, as a person reads them: those that the run has, paths by their last part."""
        return {
            flag: flag if value is True else str(value).rpartition("/")[2] or str(value)
            for flag, value in self.varying.items()
            if value is not None
        }

    @property
    def argv(self) -> list[str]:
        """The command line of the run, without the places of its results."""
        return argv_of(self.settings)


@dataclass(frozen=True)
class Grid:
    """The runs, where their folders go, and what runs them."""

    points: list[Point]
    folder: Path
    #: The command line as it was typed.
    argv: list[str]
    #: The flags of the group "many runs".
    arguments: argparse.Namespace
    #: Options that the components of some runs only know, and of how many.
    partial: dict[str, int] = field(default_factory=dict)
    #: Whether the command line asks for help instead: the grid then has its first run only.
    asked: bool = False
    #: Of how many runs these are the few that `--smoke` makes; None without it.
    smoke_of: int | None = None

    @property
    def varying(self) -> list[str]:
        """The flags that are not the same in every run."""
        return list(self.points[0].varying)

    @property
    def common(self) -> Settings:
        """The flags that are."""
        return {flag: words for flag, words in self.points[0].settings.items() if flag not in self.varying}

    @property
    def command(self) -> str:
        """The command, as it is typed."""
        return shlex.join(["python3", "main.py", *self.argv])


def read_grid(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> Grid | None:
    """Return the grid that a command line asks for by several values or by a flag for many runs; None for one run.

    Every run's command line is parsed. Raises `UserError` for what cannot be right in any of them. A question, as
    `--help`, is answered for the first of the runs.
    """
    typed = dict(flags_of(argv))
    asked = {"list", "report", "help", "h"} & typed.keys()
    reader = _Reader(registry, hooks)
    if {"list", "report"} & asked or not ("," in "".join(argv) or reader.of_many_runs & typed.keys()):
        return None
    typed = reader.canonical(typed)
    own = {flag: typed.pop(flag) for flag in [*typed] if flag in reader.of_many_runs}
    arguments = reader.read(own)
    _check(arguments)
    file = read_grid_file(arguments.grid) if arguments.grid else GridFile()
    common = reader.canonical(file.common, file.path)
    places = {flag: common.pop(flag) for flag in PLACES if flag in common}
    places |= {flag: typed.pop(flag) for flag in PLACES if flag in typed}
    arguments = reader.read(own | {flag: reader.alternatives(flag, value)[0] for flag, value in places.items()})
    try:
        settings = list(reader.expand(file, common, typed, arguments.results_dir))
        if not own and len(settings) == 1:
            return None  # its comma is part of a value
        if asked:
            settings = [{flag: words for flag, words in one.items() if flag not in ("h", "help")} for one in settings]
            return Grid(_points(settings[:1]), arguments.results_dir, argv, arguments, asked=True)
        settings = _checked(settings, arguments.results_dir, registry, hooks)
    except UserError as error:
        if file.path is None:
            raise
        raise UserError(f"--grid {file.path}: {error}") from error
    smoke_of = len(settings) if all("smoke" in one for one in settings) else None
    if smoke_of:
        settings = [settings[number] for number in few_of(settings)]
    points = _points(settings)
    name = arguments.run_name or digits(*sorted(point.key for point in points))
    folder = arguments.results_dir.absolute() / (f"grid_{name}_smoke" if smoke_of else f"grid_{name}")
    return Grid(points, folder, argv, arguments, reader.partial(settings), smoke_of=smoke_of)


class _Reader:
    """Knows the flags, and what values of each there are."""

    def __init__(self, registry: Registry, hooks: pluggy.PluginManager) -> None:
        self.registry, self.hooks = registry, hooks
        self.parser = Parser()
        add_flags(self.parser)
        groups = {group.title: group for group in self.parser._action_groups}
        #: The flags that say how several runs are run, by each name.
        self.of_many_runs = set(_by_name(groups[MANY_RUNS]._group_actions))
        self.parser.set_defaults(results_dir=registry.root / "gitignored" / "results")
        add_plugin_arguments(hooks, self.parser)
        self.actions = _by_name(self.parser._actions)
        self.wanted: set[str] = set()
        self.known: set[str] = set()

    def read(self, settings: Settings) -> argparse.Namespace:
        """Parse flags of every run."""
        return self.parser.parse_args(argv_of(settings))

    def canonical(self, flags: dict[str, Any], path: Path | None = None) -> dict[str, Any]:
        """Give each flag its first name, and lists the flag that they are of. A file says each once."""
        found: dict[str, Any] = {}
        named: dict[str, str] = {}
        for name, value in flags.items():
            flag = LISTS.get(name) or (_name(self.actions[name]) if name in self.actions else name)
            if flag in found and (path or LISTS.keys() & {name, named[flag]}):
                raise UserError(
                    f"{f'--grid {path}: ' if path else ''}--{named[flag]} and --{name} say the same: give one"
                )
            named[flag] = name
            if name in LISTS and isinstance(value, tuple):
                value = (",".join(word.strip(",") for word in value),)
            found[flag] = value
        if path is not None and (wrong := (self.of_many_runs | ONCE) & found.keys()):
            raise UserError(f"--grid {path}: {min(wrong)} belongs on the command line")
        return found

    def alternatives(self, flag: str, value: Any, action: argparse.Action | None = None) -> list[tuple | None]:
        """Every value of a flag, as words; None where the flag is left out.

        `value` is a tuple of words from the command line, or what a TOML file holds.
        """
        action = action or self.actions[flag]
        if isinstance(value, tuple):
            return [value] if len(value) != 1 else self._of_text(flag, value[0], action)
        takes_list = action.nargs not in (None, 0) or commas_of(action.type) is list
        several = isinstance(value, list) and (not takes_list or any(isinstance(item, list) for item in value))
        return list(itertools.chain(*(self._of_item(flag, item, action) for item in (value if several else [value]))))

    def _of_item(self, flag: str, item: Any, action: argparse.Action) -> list[tuple | None]:
        if (action.nargs == 0) != isinstance(item, bool):
            raise UserError(f"{flag} = {item!r}: {'it is true or false' if action.nargs == 0 else 'it takes a value'}")
        if isinstance(item, bool):
            return [() if item else None]
        if isinstance(item, list):
            words = tuple(map(str, item))
            return [words if action.nargs else (",".join(words),)]
        return self._of_text(flag, str(item), action)

    @staticmethod
    def _of_text(flag: str, text: str, action: argparse.Action) -> list[tuple | None]:
        if commas_of(action.type):
            return [(_absolute(text, action),)]
        values = text.split(",")
        if "" in values and len(values) > 1:
            raise UserError(f"--{flag} {text}: a value is missing beside a comma")
        return [(value,) for value in values]

    def expand(
        self, file: GridFile, common: dict[str, Any], typed: dict[str, Any], results_dir: Path
    ) -> Iterator[Settings]:
        """Return the settings of every run, each once: what stands later goes over what stands before.

        In the order: flags of all runs, of the section, of the runs of one value, of the command line. Checkpoints that
        are named by their runs lie below `results_dir`.
        """
        rules = [(rule, self.canonical(rule.settings, file.path)) for rule in file.rules]
        for rule in file.rules:
            if rule.flag not in self.actions:
                raise UserError(f"for.{rule.flag}: there is no flag of every run of this name")
        exclusions = [self.canonical(exclusion, file.path) for exclusion in file.exclusions]
        in_use: Counter[str] = Counter()
        seen: set[str] = set()
        for section in file.sections:
            section = self.canonical(section, file.path)
            given = common | section | typed
            given = {flag: given[flag] for flag in [*section, *given]}  # what tells the sections apart stands first
            self.wanted |= given.keys()
            for first, options in self._products(given, self.actions):
                extra: dict[str, Any] = {}
                for rule, settings in rules:
                    if self._has(first, _name(self.actions[rule.flag]), rule.value):
                        in_use[f"for.{rule.flag}.{rule.value}"] += 1
                        extra |= {flag: value for flag, value in settings.items() if flag not in typed}
                        self.wanted |= settings.keys()
                for second, more in self._products(extra, self.actions):
                    kept = {flag: words for flag, words in first.items() if flag not in extra}
                    for whole in self._with_options(kept | second, options | more, results_dir):
                        excluded = [number for number, one in enumerate(exclusions, 1) if self._is_in(whole, one)]
                        in_use.update(f"exclude {number}" for number in excluded)
                        key = json.dumps(sorted(whole.items()))
                        if not excluded and key not in seen:
                            seen.add(key)
                            yield whole
        self._complain(rules, exclusions, in_use, typed)
        if not seen:
            raise UserError("the exclusions leave no run")

    def _complain(self, rules: list, exclusions: list[dict], in_use: Counter[str], typed: dict[str, Any]) -> None:
        """Refuse flags that no run knows, and what a file says of runs that are not there."""
        if unknown := sorted(self.wanted - self.known - self.actions.keys()):
            names = sorted(self.known | self.actions.keys())
            raise UserError(f"there is no flag --{unknown[0]}{nearest(unknown[0], names)} in any of these runs")
        places = {f"for.{rule.flag}.{rule.value}": {_name(self.actions[rule.flag])} for rule, _ in rules}
        places |= {f"exclude {number}": set(exclusion) for number, exclusion in enumerate(exclusions, 1)}
        for place, flags in places.items():
            if not in_use[place] and not flags & typed.keys():
                raise UserError(f"{place} is of no run of this grid")

    def _products(
        self, given: dict[str, Any], actions: dict[str, argparse.Action]
    ) -> Iterator[tuple[Settings, dict[str, Any]]]:
        """Every combination of the values of the flags in `actions`, with what is left of the others."""
        choices = {flag: self.alternatives(flag, given[flag], actions[flag]) for flag in given if flag in actions}
        rest = {flag: value for flag, value in given.items() if flag not in actions}
        self.known |= choices.keys()
        for combination in itertools.product(*choices.values()):
            yield {flag: words for flag, words in zip(choices, combination, strict=True) if words is not None}, rest

    def _with_options(self, settings: Settings, options: dict[str, Any], results_dir: Path) -> Iterator[Settings]:
        """Every combination with the options that the run's components know."""
        if not options:
            yield settings
            return
        argv = [*argv_of(settings), "--results_dir", str(results_dir)]
        parser, _ = parser_for(argv, self.registry, self.hooks)
        for chosen, _ in self._products(options, _by_name(parser._actions)):
            yield settings | chosen

    def _is_in(self, settings: Settings, exclusion: dict[str, Any]) -> bool:
        values = {flag: value if isinstance(value, list) else [value] for flag, value in exclusion.items()}
        return all(any(self._has(settings, flag, value) for value in values[flag]) for flag in values)

    def _has(self, settings: Settings, flag: str, value: Any) -> bool:
        """Whether a run has this value of a flag: the same component, the same number, or the same text."""
        if isinstance(value, bool):
            return (flag in settings) == value
        words = settings.get(flag)
        if not words:
            return False
        wanted, found = str(value), " ".join(words)
        if kind := NAMED_BY.get(flag):
            return self.registry.find(kind, wanted).name == self.registry.find(kind, found).name
        return _plain(wanted) == _plain(found)

    def partial(self, settings: list[Settings]) -> dict[str, int]:
        """Options that the components of some runs only know, and how many have them."""
        counts = Counter(flag for one in settings for flag in one if flag not in self.actions)
        return {flag: count for flag, count in counts.items() if count < len(settings)}


def flags_of(argv: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Group the words of a command line: each flag's name without dashes, and the words that follow it."""
    flag, words = None, []
    for word in argv:
        name, equals, value = with_underscores(word).partition("=")
        if not re.match(r"--[^\W\d]|-h$", name):
            if flag is None:
                raise UserError(f"'{word}' belongs to no flag: every argument is written --flag value")
            words.append(word)
            continue
        if flag is not None:
            yield flag, tuple(words)
        flag, words = name.lstrip("-"), [value] if equals else []
    if flag is not None:
        yield flag, tuple(words)


def argv_of(settings: Settings) -> list[str]:
    """The words of a command line; a value that begins with a dash, as a negative number, stays with its flag."""
    argv: list[str] = []
    for flag, words in settings.items():
        argv += [f"--{flag}={words[0]}"] if len(words) == 1 and words[0].startswith("-") else [f"--{flag}", *words]
    return argv


def digits(*texts: str) -> str:
    """Eight hexadecimal digits that stand for texts."""
    return blake2b("\n".join(texts).encode(), digest_size=4).hexdigest()


def _points(settings: list[Settings]) -> list[Point]:
    flags = dict.fromkeys(flag for one in settings for flag in one)
    varying = [flag for flag in flags if len({one.get(flag) for one in settings}) > 1]
    return [Point(one, {flag: _shown(one.get(flag)) for flag in varying}) for one in settings]


def _shown(words: tuple[str, ...] | None) -> Any:
    if words is None:
        return None
    return _plain(" ".join(words)) if words else True


def _plain(text: str) -> Any:
    """A number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(
    settings: list[Settings], results_dir: Path, registry: Registry, hooks: pluggy.PluginManager
) -> list[Settings]:
    """Parse each run's command line, and say where its checkpoint lies: the run is made elsewhere, and maybe later."""
    checked = []
    for point in _points(settings):
        try:
            arguments = parse([*point.argv, "--results_dir", str(results_dir)], registry, hooks)
        except UserError as error:
            which = ", ".join(f"{flag} {value}" for flag, value in point.varying.items() if value is not None)
            raise UserError(f"{error} (of the run of {which})" if which else str(error)) from error
        found = {flag: getattr(arguments, flag) for flag in ("checkpoint_name", "checkpoint_model")}
        taken = {flag: (value,) for flag, value in found.items() if value}
        checked.append(point.settings | taken)
    return checked


def _check(arguments: argparse.Namespace) -> None:
    """Refuse flags that would have no effect on the engine."""
    ray = {"ray_address": arguments.ray_address is not None}
    slurm = {
        "slurm_partition": arguments.slurm_partition is not None,
        "slurm_minutes": arguments.slurm_minutes is not None,
        "slurm_local": arguments.slurm_local,
    }
    shared = {flag: getattr(arguments, flag) is not None for flag in ("cpus_per_run", "gpus_per_run")}
    for engine, flags in (("ray", ray), ("slurm", slurm), ("ray or slurm", shared)):
        given = [flag for flag, typed in flags.items() if typed]
        if given and arguments.engine not in engine.split(" or "):
            raise UserError(f"--{given[0]} is for --engine {engine}")


def _absolute(text: str, action: argparse.Action) -> str:
    """A path where it leads from here: a run may begin elsewhere."""
    return str(Path(text).absolute()) if action.type is Path and text else text


def _name(action: argparse.Action) -> str:
    """A flag's first name, without dashes."""
    return action.option_strings[0].lstrip("-")


def _by_name(actions: Iterable[argparse.Action]) -> dict[str, argparse.Action]:
    return {option.lstrip("-"): action for action in actions for option in action.option_strings}
