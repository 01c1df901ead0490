"""The combinations of flags that several values on the command line and `--grid FILE` ask for. Free of torch."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pluggy

from secateur.config.command_line import read
from secateur.config.names import NAMED_BY
from secateur.config.option import Option, options_of
from secateur.config.parser import (
    Parser,
    general_options,
    names_of,
    options_of_readers,
    usual_options,
    with_underscores,
)
from secateur.config.registry import Registry
from secateur.config.suggestions import did_you_mean
from secateur.grid.grid_file import GridFile
from secateur.grid.options import GridOptions
from secateur.grid.trials import Settings, argv_of, plain
from secateur.utils.errors import UserError

#: Other names of flags that hold several values, in words of their own.
LISTS = {"pruner_list": "prune_criterion", "compression_list": "compression"}
#: Of one section. More would take days to read.
MOST_RUNS = 100_000
#: Questions, and what is imported to read the file: of the command line alone.
ONCE = {"list", "completion", "version", "h", "disable_plugin", "resume_anyway"}


#: The flags that say how several runs are run.
OF_MANY_RUNS = {name for option in options_of(GridOptions).values() for name in names_of(option)}


class Reader:
    """Knows the flags, and what values of each there are."""

    def __init__(self, registry: Registry, hooks: pluggy.PluginManager) -> None:
        self.registry, self.hooks = registry, hooks
        declared = [*options_of_readers(hooks), *usual_options(registry), *general_options(registry)]
        self.parser = Parser(declared)
        #: The options of every run, by each name of their flags.
        self.options = _by_name(one.option for one in self.parser.declared.values())
        self.wanted: set[str] = set()
        self.known: set[str] = set()

    def read(self, settings: Settings) -> dict[str, Any]:
        """Parse flags of every run; returns what was said."""
        typed, _ = self.parser.typed(argv_of(settings))
        return typed

    def canonical(self, flags: dict[str, Any], path: Path | None = None) -> dict[str, Any]:
        """Give each flag its first name, and lists the flag that they are of. A file says each once."""
        found: dict[str, Any] = {}
        named: dict[str, str] = {}
        for name, value in flags.items():
            flag = LISTS.get(name) or (self.options[name].flag if name in self.options else name)
            if flag in found and (path or LISTS.keys() & {name, named[flag]}):
                raise UserError(
                    f"{f'--grid {path}: ' if path else ''}--{named[flag]} and --{name} mean the same: give only one"
                )
            named[flag] = name
            if name in LISTS and isinstance(value, tuple):
                words = [word.strip(",") for word in value]
                if "" in words:
                    raise UserError(f"--{name}: one of its values is empty")
                value = (",".join(words),)
            found[flag] = value
        if path is not None and (wrong := (OF_MANY_RUNS | ONCE) & found.keys()):
            raise UserError(f"--grid {path}: {min(wrong)} belongs on the command line")
        return found

    def alternatives(self, flag: str, value: Any, option: Option | None = None) -> list[tuple | None]:
        """Every value of a flag, as words; None where the flag is left out.

        `value` is a tuple of words from the command line, or what a TOML file holds.
        """
        option = option or self.options[flag]
        if isinstance(value, tuple):
            return [value] if len(value) != 1 else self._of_text(flag, value[0], option)
        takes_list = bool(option.words) or option.many
        several = isinstance(value, list) and (not takes_list or any(isinstance(item, list) for item in value))
        return list(itertools.chain(*(self._of_item(flag, item, option) for item in (value if several else [value]))))

    def _of_item(self, flag: str, item: Any, option: Option) -> list[tuple | None]:
        if option.is_switch != isinstance(item, bool):
            raise UserError(f"{flag} = {item!r}: {'it is true or false' if option.is_switch else 'it takes a value'}")
        if isinstance(item, bool):
            return [() if item else None]
        if isinstance(item, list):
            words = tuple(map(str, item))
            return [words if option.words else (",".join(words),)]
        return self._of_text(flag, str(item), option)

    @staticmethod
    def _of_text(flag: str, text: str, option: Option) -> list[tuple | None]:
        if option.holds_commas:
            return [(_absolute(text, option),)]
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
            if rule.flag not in self.options:
                raise UserError(f"for.{rule.flag}: unknown flag --{rule.flag}, or one that not every run has")
        exclusions = [self.canonical(exclusion, file.path) for exclusion in file.exclusions]
        in_use: Counter[str] = Counter()
        seen: set[str] = set()
        for section in file.sections:
            section = self.canonical(section, file.path)
            given = common | section | typed
            given = {flag: given[flag] for flag in [*section, *given]}  # what tells the sections apart stands first
            self.wanted |= given.keys()
            for first, options in self._products(given, self.options):
                extra: dict[str, Any] = {}
                for rule, settings in rules:
                    if self._has(first, self.options[rule.flag].flag, rule.value):
                        in_use[f"for.{rule.flag}.{rule.value}"] += 1
                        extra |= {flag: value for flag, value in settings.items() if flag not in typed}
                        self.wanted |= settings.keys()
                for second, more in self._products(extra, self.options):
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
        if unknown := sorted(self.wanted - self.known - self.options.keys()):
            hint = did_you_mean(unknown[0], self.options.values())
            raise UserError(f"unknown flag --{unknown[0]} in all of these runs{hint}")
        places = {f"for.{rule.flag}.{rule.value}": {self.options[rule.flag].flag} for rule, _ in rules}
        places |= {f"exclude {number}": set(exclusion) for number, exclusion in enumerate(exclusions, 1)}
        for place, flags in places.items():
            if not in_use[place] and not flags & typed.keys():
                raise UserError(f"{place} is of no run of this grid")

    def _products(self, given: dict[str, Any], options: dict[str, Option]) -> Iterator[tuple[Settings, dict[str, Any]]]:
        """Every combination of the values of the flags in `options`, with what is left of the others."""
        choices = {flag: self.alternatives(flag, given[flag], options[flag]) for flag in given if flag in options}
        rest = {flag: value for flag, value in given.items() if flag not in options}
        self.known |= choices.keys()
        if (count := math.prod(map(len, choices.values()))) > MOST_RUNS:
            raise UserError(f"these values make {count:,} combinations, but a grid has at most {MOST_RUNS:,} runs")
        for combination in itertools.product(*choices.values()):
            yield {flag: words for flag, words in zip(choices, combination, strict=True) if words is not None}, rest

    def _with_options(self, settings: Settings, options: dict[str, Any], results_dir: Path) -> Iterator[Settings]:
        """Every combination with the options that the run's components know."""
        if not options:
            yield settings
            return
        argv = [*argv_of(settings), "--results_dir", str(results_dir)]
        known = read(argv, self.registry, self.hooks).parser.declared.values()
        for chosen, _ in self._products(options, _by_name(one.option for one in known)):
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
        counts = Counter(flag for one in settings for flag in one if flag not in self.options)
        return {flag: count for flag, count in counts.items() if count < len(settings)}


def flags_of(argv: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Group the words of a command line: each flag's name without dashes, and the words that follow it."""
    flag, words = None, []
    for word in argv:
        name, equals, value = with_underscores(word).partition("=")
        if not re.match(r"--[^\W\d]|-h$", name):
            if flag is None:
                raise UserError(f"'{word}' is the value of no flag: arguments are written --flag value")
            words.append(word)
            continue
        if flag is not None:
            yield flag, tuple(words)
        flag, words = name.lstrip("-"), [value] if equals else []
    if flag is not None:
        yield flag, tuple(words)


def _absolute(text: str, option: Option) -> str:
    """A path where it leads from here: a run may begin elsewhere."""
    return str(Path(text).absolute()) if option.kind is Path and text else text


def _by_name(options: Iterable[Option]) -> dict[str, Option]:
    return {name: option for option in options for name in names_of(option)}
