"""Which options a run has, by what its components declare."""

from __future__ import annotations

from functools import cache
from typing import Any

from secateur.config.names import NAMED_BY
from secateur.config.parser import READERS, general_options, options_of_reader, usual_options
from secateur.config.registry import Component, Registry
from secateur.config.source import Declared
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError

#: A data set that has no options but those of all.
DATA_SET = "DIGITS"
#: The flag that names a component of a kind.
FLAGS = {kind: flag for flag, kind in NAMED_BY.items()}


@cache
def known_options() -> dict[str, Declared]:
    """The options of every run, by flag; those of further components and of plugins are not among them."""
    usual = [*usual_options(_registry()), *_registry().find("data_sets", DATA_SET).declared()]
    return {one.option.flag: one for one in [*(one for place in READERS for one in options_of_reader(place)), *usual]}


def own_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run without the options of components that it does not consist of.

    A command line that names an option of one component may name those that every command knows (`Option.general`), and
    a run records all that it may name: RigL with `--update_steps` the penalty of HoyerSquare's loss. What belongs to a
    component that is not known here stays.
    """
    return {name: value for name, value in settings.items() if _is_own(name, settings)}


def has_limit(settings: dict[str, Any]) -> bool:
    """Whether a run's criterion prunes up to `--pruning_limit`; one that is not known here does."""
    found = _component("criterions", str(settings.get(FLAGS["criterions"])))
    return not (found and found.source and found.source.literal("has_limit") is False)


def unit_of(settings: dict[str, Any]) -> str:
    """What a run's criterion prunes: weights or units; of one that is not known here, weights."""
    found = _component("criterions", str(settings.get(FLAGS["criterions"])))
    return (found.source.literal("unit") if found and found.source else None) or "weights"


def _is_own(name: str, settings: dict[str, Any]) -> bool:
    kinds = _kinds_of_general().get(name, ())
    declaring = [_declares(kind, str(settings.get(FLAGS[kind])), name) for kind in kinds]
    return not kinds or any(found is not False for found in declaring)


@cache
def _registry() -> Registry:
    return Registry(empty_manager())


@cache
def _kinds_of_general() -> dict[str, list[str]]:
    """The kinds of component that declare an option which every command knows, by flag."""
    found: dict[str, list[str]] = {}
    for one in general_options(_registry()):
        kinds = found.setdefault(one.option.flag, [])
        kinds += [one.kind] if one.kind not in kinds else []
    return found


def _component(kind: str, name: str) -> Component | None:
    try:
        return _registry().find(kind, name)
    except UserError:
        return None


@cache
def _declares(kind: str, name: str, flag: str) -> bool | None:
    """Whether a component has an option; None where it is not known here."""
    found = _component(kind, name)
    return None if found is None else flag in {one.option.flag for one in found.declared_in_source()}
