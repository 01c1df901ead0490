"""What a command asks for, typed and frozen, and which of it cannot stand together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from secateur.config.option import Section, options_of
from secateur.config.source import Declared
from secateur.runs.checkpoint_metadata import ENDINGS
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.config.registry import Component
    from secateur.runs.checkpoint_metadata import Checkpoint


S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Settings:
    """Every option that a command knows, by its flag's name, with its value."""

    values: Mapping[str, Any]
    #: The flags that were typed, rather than left at their default.
    given: frozenset[str]
    #: Where each is declared.
    declared: Mapping[str, Declared]
    #: The components that the run consists of, by the flag that names them: `{"model": ...}`.
    components: Mapping[str, Component] = field(default_factory=dict)
    #: What `--checkpoint_name` and `--checkpoint_model` name.
    checkpoints: tuple[Checkpoint, ...] = ()
    #: The file of another project that `--checkpoint_model` names.
    external_weights: Path | None = None
    #: The folder of the run that goes on, for `--resume`.
    resume: Path | None = None
    #: The rendered text where `--help` was asked for.
    help: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to the other processes of a run."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        found = {name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in state.items()}
        vars(self).update(found)

    def __getitem__(self, flag: str) -> Any:
        """The value of a flag."""
        return self.values[flag]

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The first checkpoint that was named."""
        return self.checkpoints[0] if self.checkpoints else None

    def options_for(self, kind: type) -> dict[str, Any]:
        """Return what a class's options have been given, or have become, other than its defaults; by attribute."""
        found = {}
        for name, option in options_of(kind).items():
            if option.flag in self.values:
                value = self.values[option.flag]
                if option.flag in self.given or value != option.default:
                    found[name] = value
        return found

    def section(self, kind: type[S]) -> S:
        """Return the settings of one section."""
        return kind(**self.options_for(kind))

    def paths(self) -> dict[str, Any]:
        """Return the values that name places, by flag."""
        return {flag: self.values[flag] for flag, one in self.declared.items() if one.option.is_path}

    def with_values(self, **values: Any) -> Settings:
        """Return the same settings but for these values."""
        return replace(self, values=MappingProxyType({**self.values, **values}))

    def recorded(self) -> dict[str, Any]:
        """Return what arguments.json holds: every value, and the names of those that were typed."""
        questions = ("board", "completion", "help", "list", "port", "report", "version")
        return {name: value for name, value in self.values.items() if name not in questions} | {
            "explicit": sorted(self.given)
        }


def check_combinations(settings: Settings, *, tester_trains: bool) -> None:
    """Raise `UserError` where flags cannot stand together; `tester_trains`: whether the tester trains its network."""
    _check_pruning(settings)
    _check_network_to_test(settings, tester_trains)
    _check_tester(settings)
    _check_data(settings)
    _check_run_name(settings["run_name"])
    if "port" in settings.given and settings["board"] is None:
        raise UserError("--port is for --board, which shows the runs of a folder in a browser")
    if settings["time_to_accuracy"] is not None and settings["report"] is None:
        raise UserError("--time_to_accuracy is for --report: train first, then compare the run folders with it")
    if settings["resume_anyway"]:
        raise UserError("--resume_anyway needs --resume RUN, or a grid whose runs were interrupted")


def _check_pruning(settings: Settings) -> None:
    if {"compression", "pruning_limit"} <= settings.given:
        raise UserError("--compression and --pruning_limit mean the same: give only one of them")


def _check_network_to_test(settings: Settings, tester_trains: bool) -> None:
    if settings["partial_checkpoint"] and not settings.external_weights:
        raise UserError("--partial_checkpoint is for a file of another project: name it with --checkpoint_model")
    finished = settings["checkpoint_name"] or settings.external_weights
    if settings["eval"] and not finished and not tester_trains:
        raise UserError("--eval needs --checkpoint_name: the name or path of a run folder, or latest")
    if settings["force_train"] and (finished or not tester_trains):
        raise UserError("--force_train is for --eval --test_scheme Sparsification or Merging without --checkpoint_name")
    if settings["checkpoint_model"] and not finished:
        raise UserError(
            "--checkpoint_model needs --checkpoint_name, its run folder, or must be the path of a file: "
            f"{', '.join(ENDINGS)}"
        )


def _check_tester(settings: Settings) -> None:
    """Refuse options that every command knows of a tester that is not used, as those of attacks."""
    tester = settings.components.get("test_scheme")
    for flag in sorted(settings.given):
        one = settings.declared[flag]
        if one.kind != "testers" or not one.option.general:
            continue
        if tester is None:
            raise UserError(f"--{flag} is for --eval: name a finished run with --checkpoint_name")
        if tester.name != one.owner:
            namer = next(name for name, other in settings.declared.items() if _names(other, one.owner))
            wanted = "leave --test_scheme out" if namer in settings.given else f"give --{namer} too"
            raise UserError(f"--{flag} is for the tester {one.owner}: {wanted}")
    if "test_scheme" in settings.given and not settings["eval"]:
        raise UserError("--test_scheme is for --eval: a training run is tested by DefaultTester at its end")


def _names(one: Declared, tester: str) -> bool:
    """Whether a flag names this tester."""
    return one.option.stands_for == ("test_scheme", tester)


def _check_data(settings: Settings) -> None:
    if settings["input_dim"] is not None and len(settings["input_dim"]) != 3:
        raise UserError("--input_dim takes three numbers, channels height width: --input_dim 3 32 32")
    if settings["disable_autoconfig"] and not (settings["input_dim"] and settings["output_dim"]):
        raise UserError("--disable_autoconfig takes nothing from the data set: give --input_dim and --output_dim")
    if settings["num_valid"] is not None and not (settings["tuning"] or settings["keep_best"]):
        raise UserError("--num_valid holds training images out for --keep_best or for --tuning: give one of them")


def _check_run_name(name: str) -> None:
    if "/" in name or "\\" in name or not name.isprintable():
        raise UserError(f"--run_name {name!r} (--expid) names a folder: leave out slashes and line breaks")
    if len(os.fsencode(name)) > 200:
        raise UserError("--run_name (--expid, --experiment_id) is longer than 200 bytes, which no folder's name holds")
