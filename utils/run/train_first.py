"""The network of a tester that trains it itself, where no checkpoint is named: trained by a run of its own, once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pluggy

from utils.arguments import NAMED_BY, Parser, parse, with_underscores
from utils.errors import UserError
from utils.hooks import plugin_manager
from utils.registry import Registry
from utils.run.execute import execute
from utils.run.files import read_sealed
from utils.run.folder import settings_of
from utils.settings import shapes_network

#: What a training begins from.
BEGINNING = ("checkpoint_name", "checkpoint_model")


def train_first(
    arguments: argparse.Namespace, registry: Registry, hooks: pluggy.PluginManager, root: Path, argv: list[str]
) -> tuple[argparse.Namespace, list[str], str]:
    """Find the newest run that has trained by the same settings, or with `--force_train` or where there is none, train.

    Returns the arguments and the command line that test its network, and where that comes from, for the log. Raises
    `UserError` where a flag would mean one thing for the training and another for the tester, which sets it.
    """
    if taken := sorted(_implied(registry, arguments.test_scheme).keys() & arguments.explicit):
        raise UserError(
            f"{arguments.test_scheme} sets --{taken[0]} itself: leave it out, or train in a run of its own and name it "
            "with --checkpoint_name"
        )
    command = training_command(argv, registry, arguments.test_scheme)
    own_hooks, _ = plugin_manager(arguments.disable_plugin or ())  # whose observers belong to that run
    training = parse(command, registry, own_hooks)
    folder = None if arguments.force_train else finished_run(training)
    if folder:
        origin = f"the network is that of {folder}, which has trained by these settings (--force_train trains anew)"
    else:
        folder = execute(training, registry, own_hooks, root, command)
        origin = f"the network is that of {folder}, which has just trained it"
    argv = [word for word in argv if with_underscores(word) != "--force_train"] + ["--checkpoint_name", str(folder)]
    evaluation = parse(argv, registry, hooks)
    evaluation.explicit -= training.explicit  # these have had their effect
    return evaluation, argv, origin


def training_command(argv: list[str], registry: Registry, tester: str) -> list[str]:
    """Leave out of a command line what is for the tester, or for a component that it sets, as a criterion."""
    parser = Parser()
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--force_train", action="store_true")
    parser.add_argument("--test_scheme")
    implied = [registry.find(NAMED_BY[flag], name) for flag, name in _implied(registry, tester).items()]
    for component in (registry.find("testers", tester), *implied):
        for _, declare in component.declarations():
            declare(parser)
    return parser.parse_known_args([with_underscores(word) for word in argv])[1]


def _implied(registry: Registry, tester: str) -> dict[str, str]:
    source = registry.find("testers", tester).source
    return source.implies if source else {}


def finished_run(training: argparse.Namespace) -> Path | None:
    """Return the folder of the newest run in `--results_dir` that has finished a training by the same settings."""
    settings = settings_of(training)
    wanted = {name: settings[name] for name in settings if name in BEGINNING or shapes_network(name, training.general)}
    if training.batch_size is None:
        del wanted["batch_size"]  # what the data set suggests stands in the file
    wanted = json.loads(json.dumps(wanted, default=str))
    finished = sorted(training.results_dir.glob("*/models/*_finished.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in reversed(finished):
        folder = path.parent.parent
        try:
            settings = read_sealed(folder / "output" / "arguments.json")
        except (OSError, ValueError):
            continue  # not a folder of a run, or of one that cannot be compared
        if all(settings.get(name) == value for name, value in wanted.items()):
            return folder
    return None
