"""The combinations of flags that several values on the command line and `--grid FILE` ask for. Free of torch."""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pluggy

from utils.arguments import NAMED_BY, Parser, parser_for, with_underscores
from utils.errors import UserError, nearest
from utils.flags import MANY_RUNS, add_flags
from utils.grids.grid_file import GridFile
from utils.grids.points import Settings, argv_of, plain
from utils.hooks import add_plugin_arguments
from utils.ranges import commas_of
from utils.registry import Registry

#: Other names of flags that hold several values, in words of their own.
LISTS = {"pruner_list": "prune_criterion", "compression_list": "compression"}
#: Questions, and what is imported to read the file: of the command line alone.
ONCE = {"list", "version", "h", "disable_plugin"}


class Reader:
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
        return plain(wanted) == plain(found)

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


def _absolute(text: str, action: argparse.Action) -> str:
    """A path where it leads from here: a run may begin elsewhere."""
    return str(Path(text).absolute()) if action.type is Path and text else text


def _name(action: argparse.Action) -> str:
    """A flag's first name, without dashes."""
    return action.option_strings[0].lstrip("-")


def _by_name(actions: Iterable[argparse.Action]) -> dict[str, argparse.Action]:
    return {option.lstrip("-"): action for action in actions for option in action.option_strings}
