"""The network of a tester that trains it itself, where no checkpoint is named: trained by a run of its own, once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pluggy

from secateur.config.command_line import parse
from secateur.config.names import NAMED_BY
from secateur.config.parser import Parser, options_of_readers, usual_options, with_underscores
from secateur.config.registry import Component, Registry
from secateur.config.settings import Settings
from secateur.grid.options import GridOptions
from secateur.hooks import plugin_manager
from secateur.runs.execute import execute
from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError

#: What a training begins from.
BEGINNING = ("checkpoint_name", "checkpoint_model")


def train_first(
    settings: Settings, registry: Registry, hooks: pluggy.PluginManager, argv: list[str]
) -> tuple[Settings, list[str], str]:
    """Find the newest run that has trained by the same settings, or with `--force_train` or where there is none, train.

    Returns the settings and the command line that test its network, and where that comes from, for the log. Raises
    `UserError` where a flag would mean one thing for the training and another for the tester, which sets it.
    """
    tester = settings.components["test_scheme"]
    if taken := sorted(tester.implies.keys() & settings.given):
        raise UserError(
            f"{tester.name} sets --{taken[0]} itself: leave it out, or train in a run of its own and name it "
            "with --checkpoint_name"
        )
    command = training_command(argv, registry, tester)
    own_hooks, _ = plugin_manager(settings["disable_plugin"] or ())  # whose observers belong to that run
    training = parse(command, registry, own_hooks)
    folder = None if settings["force_train"] else finished_run(training)
    if folder:
        origin = f"the network is that of {folder}, which has trained by these settings (--force_train trains again)"
    else:
        folder = execute(training, registry, own_hooks, command)
        origin = f"the network is that of {folder}, which has just trained it"
    argv = [word for word in argv if with_underscores(word) != "--force_train"] + ["--checkpoint_name", str(folder)]
    evaluation = parse(argv, registry, hooks)
    # Those of the training have had their effect.
    return replace(evaluation, given=evaluation.given - training.given), argv, origin


def training_command(argv: list[str], registry: Registry, tester: Component) -> list[str]:
    """Leave out of a command line what is for the tester, or for a component that it sets, as a criterion."""
    implied = [registry.find(NAMED_BY[flag], name) for flag, name in tester.implies.items()]
    usual = {one.option.flag for one in usual_options(registry)}
    own = [one for one in tester.declared() if one.option.flag not in usual]
    own += [one for component in implied for one in component.declared() if not one.option.only_training]
    own += [
        one for one in options_of_readers(registry.hooks) if one.option.flag in ("eval", "force_train", "test_scheme")
    ]
    _, rest = Parser(own).typed([with_underscores(word) for word in argv])
    return rest


def finished_run(training: Settings) -> Path | None:
    """Return the folder of the newest run in `--results_dir` that has finished a training by the same settings."""
    wanted = {
        flag: training[flag]
        for flag, one in training.declared.items()
        if flag in BEGINNING or (one.option.changes_numbers and one.title != GridOptions.title)
    }
    for flag, left_open in (("batch_size", None), ("precision", "auto")):
        if training[flag] == left_open:
            del wanted[flag]  # what was chosen stands in the file
    wanted = json.loads(json.dumps(wanted, default=str))
    finished = sorted(
        training["results_dir"].glob("*/models/*_finished.json"), key=lambda path: path.stat().st_mtime_ns
    )
    for path in reversed(finished):
        folder = path.parent.parent
        try:
            settings = read_checksummed(folder / "output" / "arguments.json")
        except (OSError, ValueError):
            continue  # not a folder of a run, or of one that cannot be compared
        if all(settings.get(name) == value for name, value in wanted.items()):
            return folder
    return None
