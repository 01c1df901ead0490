"""The command line, read in two passes: one finds which components were named, the next reads their options too.

Nothing here imports torch, but for names that it alone knows: a wrong flag is answered at once.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from secateur.config.help import help_text
from secateur.config.names import NAMED_BY
from secateur.config.parser import (
    Parser,
    general_options,
    options_of_reader,
    options_of_readers,
    usual_options,
    with_underscores,
)
from secateur.config.places import home
from secateur.config.registry import Component, Registry
from secateur.config.settings import Settings, check_combinations
from secateur.config.source import Declared
from secateur.config.unknown import refuse_unknown
from secateur.runs.checkpoint_metadata import Checkpoint, find_checkpoint, find_external, folders_named
from secateur.utils.errors import UserError


@dataclass
class Reading:
    """A command line as far as it was read."""

    parser: Parser
    #: What was typed, and what stands in place of the options' own defaults; by flag.
    typed: dict[str, Any]
    defaults: dict[str, Any]
    #: The words that belong to no flag that is known.
    unknown: list[str]
    checkpoints: list[Checkpoint] = field(default_factory=list)
    external: Path | None = None
    #: The components that are used, by the flags that name them.
    components: dict[str, Component] = field(default_factory=dict)
    #: Whether the tester trains its network itself, see runs/train_first.py.
    tester_trains: bool = False

    def value(self, flag: str) -> Any:
        """The value of a flag, as far as is known by now."""
        if flag in self.typed:
            return self.typed[flag]
        return self.defaults[flag] if flag in self.defaults else self.parser.declared[flag].option.default


def disabled_plugins(argv: list[str]) -> list[str]:
    """The plugins that a command line switches off, which must be known before any is imported."""
    machine = options_of_reader("secateur.runs.options:MachineOptions")
    parser = Parser(one for one in machine if one.option.name == "disable_plugin")
    typed, _ = parser.typed([with_underscores(word) for word in argv])
    return typed.get("disable_plugin", [])


def own_components(argv: list[str]) -> Path:
    """The folder of the user's that a command line names, whose components are searched too; else the current one."""
    run = options_of_reader("secateur.runs.options:RunOptions")
    parser = Parser(one for one in run if one.option.name == "components")
    typed, _ = parser.typed([with_underscores(word) for word in argv])
    folder = typed.get("components", Path.cwd())
    if not folder.is_dir():
        raise UserError(f"--components {folder}: there is no such folder")
    return folder.absolute()


def parse(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> Settings:
    """Read the command line. Raises `UserError` for anything that cannot be right."""
    argv = [with_underscores(word) for word in argv]
    reading = read(argv, registry, hooks)
    parser, asks = reading.parser, "help" in reading.typed
    if reading.unknown and "list" not in reading.typed and not asks:
        refuse_unknown(argv, reading.unknown, parser, registry)
    values = {flag: reading.value(flag) for flag in parser.declared}
    settings = Settings(
        values=MappingProxyType(values),
        given=frozenset(reading.typed),
        declared=MappingProxyType(parser.declared),
        components=MappingProxyType(reading.components),
        checkpoints=tuple(reading.checkpoints),
        external_weights=reading.external,
        help=help_text(reading, registry) if asks else None,
    )
    if "list" in reading.typed:
        return settings
    if not asks:
        check_combinations(settings, tester_trains=reading.tester_trains)
        _check_names(settings, registry)
    if settings["compression"] is not None:
        settings = settings.with_values(pruning_limit=1 - 1 / settings["compression"])
    if settings["smoke"]:
        smaller = {flag: one.option.reduced(settings[flag]) for flag, one in settings.declared.items()}
        settings = settings.with_values(**smaller)
    return settings.with_values(**_absolute(settings, registry))


def read(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> Reading:
    """Read a command line with every option of the components that it names, without judging it.

    With `--list` no component is looked for.
    """
    _refuse_empty(argv)
    parser = _parser(tuple(options_of_readers(hooks)))
    if "--list" in {word.partition("=")[0] for word in argv}:
        return Reading(parser, parser.typed(argv)[0], {}, [])
    usual = [*usual_options(registry)]
    reading = _read(argv, [*parser.declared.values(), *usual])
    others: list[Declared] = []
    if reading.unknown or "help" in reading.typed:
        others = [*general_options(registry)]
        reading = _read(argv, [*reading.parser.declared.values(), *others])
    _find_checkpoints(reading)
    for one in [*reading.parser.declared.values()]:
        if one.option.stands_for and not one.option.is_switch and reading.typed.get(one.option.flag) is not None:
            flag, name = one.option.stands_for
            reading.defaults[flag] = name
    reading.defaults |= _implied(_named(reading, registry).values(), reading)
    named = _named(reading, registry)
    own = [(flag, one) for flag, component in named.items() for one in component.declared()]
    again = _read(argv, [*parser.declared.values(), *(one for _, one in own), *usual, *others])
    reading.parser, reading.typed, reading.unknown = again.parser, again.typed, again.unknown
    reading.components = named
    if reading.checkpoints and "data_set" not in reading.typed:
        taken = reading.checkpoints[0].metadata.get("data_options", {})
        of_data = {one.option.flag for flag, one in own if flag == "data_set"}
        reading.defaults |= {name: value for name, value in taken.items() if name in of_data}
    return reading


def _read(argv: list[str], declared: Iterable[Declared]) -> Reading:
    parser = _parser(tuple(declared))
    typed, unknown = parser.typed(argv)
    for flag, one in parser.declared.items():
        if one.option.stands_for and one.option.is_switch and flag in typed:
            target, name = one.option.stands_for
            if typed.get(target, name).lower() != name.lower():
                raise UserError(f"--{flag} is --{target} {name}, and --{target} {typed[target]} contradicts it")
            typed[target] = name
    return Reading(parser, typed, {}, unknown)


@lru_cache(maxsize=100)
def _parser(declared: tuple[Declared, ...]) -> Parser:
    """The parser of these options; the runs of a grid have few different ones."""
    return Parser(declared)


def _find_checkpoints(reading: Reading) -> None:
    """Find the checkpoint or the file of weights that is named, and take over what a checkpoint says."""
    results = _results_dir(reading.value("results_dir"))
    run, model = reading.value("checkpoint_name"), reading.value("checkpoint_model")
    reading.external = find_external(results, run, model)
    if reading.external is None:
        reading.checkpoints = _named_checkpoints(results, run, model, evaluated=reading.value("eval"))
    if reading.checkpoints:
        reading.defaults |= _taken_over(reading.checkpoints[0], reading.value("eval"))


def _named_checkpoints(results: Path, run: str | None, model: str | None, *, evaluated: bool) -> list[Checkpoint]:
    """Find what `--checkpoint_name` and `--checkpoint_model` name: several of either are compared, or one of each."""
    folders, models = folders_named(results, run or ""), (model or "").split(",")
    if folders == [""]:
        return []
    if 1 not in (len(folders), len(models)) and len(folders) != len(models):
        counts = f"{len(folders)} runs and {len(models)} models"
        raise UserError(f"--checkpoint_name and --checkpoint_model name {counts}: as many of both, or one of either")
    number = max(len(folders), len(models))
    if number > 1 and not evaluated:
        raise UserError(f"--checkpoint_name: training starts from one checkpoint, not {number}")
    if number > len(folders):
        folders *= number
    elif number > len(models):
        models *= number
    return [find_checkpoint(results, folder, name or None) for folder, name in zip(folders, models, strict=True)]


def _taken_over(checkpoint: Checkpoint, evaluated: bool) -> dict[str, Any]:
    """What a checkpoint says in place of flags that are not typed: its network and its data.

    To be evaluated as it was trained, it brings its loss and its seed too.
    """
    metadata = checkpoint.metadata
    taken = {name: metadata[name] for name in ("model", "data_set")}
    taken |= {"input_dim": list(metadata["input_shape"]), "output_dim": metadata["num_classes"]}
    taken["disable_autoconfig"] = bool(metadata.get("disable_autoconfig"))
    with contextlib.suppress(OSError, ValueError):  # of a path that is none
        if (place := Path(metadata.get("data_dir", ""))).is_absolute() and place.exists():
            taken["data_dir"] = place
    if evaluated:
        taken |= {name: metadata[name] for name in ("loss", "seed") if name in metadata}
    return taken


def _named(reading: Reading, registry: Registry) -> dict[str, Component]:
    """The components of a run that trains or tests: the options of the other half would have no effect."""
    kinds = dict(NAMED_BY)
    tester = registry.find("testers", reading.value("test_scheme")) if reading.value("eval") else None
    reading.tester_trains = bool(tester and tester.source and tester.source.literal("trains") is True)
    if tester is None:
        kinds.pop("test_scheme")
    elif not reading.tester_trains:
        kinds.pop("train_scheme")
    return {flag: registry.find(kind, reading.value(flag)) for flag, kind in kinds.items()}


def _implied(components: Iterable[Component], reading: Reading) -> dict[str, str]:
    """What components set in place of flags that are not typed: their class attribute `implies`."""
    switches = {
        one.option.stands_for[1]: f"--{flag}"
        for flag, one in reading.parser.declared.items()
        if one.option.stands_for and flag in reading.typed
    }
    implied: dict[str, tuple[str, str]] = {}
    for component in components:
        who = switches.get(component.name, component.name)
        for flag, value in component.implies.items():
            first, other = implied.setdefault(flag, (value, who))
            if first != value and flag not in reading.typed:
                raise UserError(f"{who} needs --{flag} {value}, but {other} needs {first}: use one of them")
    return {flag: value for flag, (value, _) in implied.items() if flag not in reading.typed}


def _check_names(settings: Settings, registry: Registry) -> None:
    """Refuse options that name what is not there: a component, one of a package's, or one without such parameters."""
    if settings.components["model"].path is None:
        settings.components["model"].load()  # of a zoo, which knows its networks
    for flag, one in settings.declared.items():
        if one.option.check and flag in settings.given:
            module, _, function = one.option.check.partition(":")
            getattr(importlib.import_module(module), function)(settings[flag])
        if one.option.names and settings[flag] is not None:
            _refuse_nameless(flag, settings[flag])
            name, _, parameters = settings[flag].partition(":")
            registry.find(one.option.names, name).load().check(parameters)


def _refuse_empty(argv: list[str]) -> None:
    """Refuse a place without a name: an empty one would silently mean the current folder."""
    places = {f"--{name}" for name in ("checkpoint_name", "checkpoint_model", "data_dir", "results_dir", "components")}
    for word, following in itertools.pairwise([*argv, "--"]):
        flag, equals, value = word.partition("=")
        if flag in places:
            _refuse_nameless(flag[2:], value if equals else following)


def _refuse_nameless(flag: str, value: str) -> None:
    if not value:
        raise UserError(f"--{flag} is empty: give it a value or leave it out")


def _results_dir(named: Path | None) -> Path:
    return (named or home() / "gitignored" / "results").absolute()


def _finished_run(results: Path, flag: str, run: str) -> Path:
    try:
        return find_checkpoint(results, run, None).path.parent.parent
    except UserError as error:
        raise UserError(str(error).replace("--checkpoint_name", f"--{flag}")) from error


def _absolute(settings: Settings, registry: Registry) -> dict[str, Any]:
    """The places of a run: what `latest` was, and where a relative path led to, is no longer known later."""
    places: dict[str, Any] = {
        flag: value.absolute() for flag, value in settings.paths().items() if isinstance(value, Path)
    }
    own = registry.own
    if own and any(one.path and one.path.is_relative_to(own) for one in settings.components.values()):
        places["components"] = own
    places["data_dir"] = (settings["data_dir"] or home() / "gitignored" / "data").absolute()
    places["results_dir"] = _results_dir(settings["results_dir"])
    for flag, one in settings.declared.items():
        if one.option.is_run and settings[flag]:
            places[flag] = str(_finished_run(places["results_dir"], flag, settings[flag]))
    if settings.checkpoints:
        places["checkpoint_name"] = ",".join(str(one.path.parent.parent) for one in settings.checkpoints)
        places["checkpoint_model"] = ",".join(one.path.name for one in settings.checkpoints)
    elif external := settings.external_weights:
        places["checkpoint_model"] = str(external)
        if settings["checkpoint_name"]:
            places["checkpoint_name"] = str(external.parent)
    return places
