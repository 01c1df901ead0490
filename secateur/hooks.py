"""The hooks of Secateur (pluggy): what a third-party package can contribute to and observe.

A package joins by an entry point in the group `secateur` that names a module or an object with hook implementations:

    [project.entry-points.secateur]
    my_plugin = "my_package.plugin"

    from secateur import hookimpl      # imports no torch

    @hookimpl
    def components():
        return {"criterions": {"MyCriterion": "my_package.my_criterion:MyCriterion"}}

An implementation may leave out arguments it does not need. One that observes a run and raises is reported once, and the
run goes on; only a `UserError` ends it. The project's own outputs (`secateur/observers/`) are plugins of these hooks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from secateur.config.kinds import KINDS
from secateur.config.option import Section, options_of
from secateur.config.source import Declared
from secateur.utils.errors import UserError, nearest, one_line, raised_at

if TYPE_CHECKING:
    from secateur.measuring.evaluation import Evaluation
    from secateur.pruning.plan import PruningStep
    from secateur.runs.run import Run
    from secateur.training.means import RunningMeans
    from secateur.utils.tables import Table

PROJECT = "secateur"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Specification:
    """Every hook, with its arguments."""

    @hookspec
    def components(self) -> dict[str, dict[str, str]]:
        """Return the package's components: kind (`criterions`, `models`, ...) -> name -> `"package.module:Class"`.

        The string keeps start-up fast: the module is imported when a run asks for the name.
        """

    @hookspec
    def options(self) -> type[Section]:
        """Return a `secateur.Section` with the options of the whole package; observers read them in `run.settings`.

        Options of one component belong to its class.
        """

    @hookspec
    def run_started(self, run: Run) -> None:
        """Called once network, data, criterion and run folder are there and nothing has been computed."""

    @hookspec
    def on_save_state(self, run: Run, state: dict[str, Any]) -> None:
        """Called when what `--resume` needs is about to be written, between two epochs.

        An observer puts what it has to keep into `state` under its own name: numbers, text, tensors, None, and
        lists, tuples and dictionaries of these.
        """

    @hookspec
    def run_resumed(self, run: Run, state: dict[str, Any]) -> None:
        """Called after `run_started` where an interrupted run goes on, with what `on_save_state` has collected."""

    @hookspec
    def batch_finished(self, run: Run, epoch: int, batch: int, batches: int, means: RunningMeans) -> None:
        """Called after each training step; `epoch` and `batch` count from 0.

        Reading a number from `means` waits for the device, so do it seldom.
        """

    @hookspec
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Called after each epoch with the row that goes to metrics.csv."""

    @hookspec
    def pruned(self, run: Run, step: PruningStep) -> None:
        """Called after each pruning step, with its scores and what was kept."""

    @hookspec
    def evaluated(self, run: Run, evaluation: Evaluation) -> None:
        """Called with what was measured on the held-out set: after an epoch (`--eval_freq`), at the end, by testers."""

    @hookspec
    def table_created(self, run: Run, table: Table) -> None:
        """Called with each table that a tester makes."""

    @hookspec
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """Called at the end of a run with what goes to results.json."""

    @hookspec
    def run_failed(self, run: Run, error: BaseException) -> None:
        """Called when a run ends by an error or an interruption, after its last checkpoint was written."""


def plugin_manager(disabled: Collection[str] = ()) -> tuple[pluggy.PluginManager, list[str]]:
    """Load the installed plugins, but those of the names in `disabled`, which are not imported.

    Returns the manager and a line for each plugin that could not be loaded: it is left out and breaks nothing else.
    Raises `UserError` where a disabled one is not installed.
    """
    installed = list(entry_points(group=PROJECT))
    names = [entry.name for entry in installed]
    if unknown := [name for name in disabled if name not in names]:
        raise UserError(f"--disable_plugin: there is no plugin '{unknown[0]}'{nearest(unknown[0], names)}")
    manager = empty_manager()
    problems = []
    for entry in installed:
        if entry.name in disabled:
            continue
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        if manager.has_plugin(entry.name):
            problems.append(f"plugin {entry.name} ({origin} is not loaded: another package has a plugin of that name")
            continue
        try:
            plugin = entry.load()
            plugin = plugin() if isinstance(plugin, type) else plugin
            manager.register(plugin, name=entry.name)
            manager.check_pending()
            for implementation in manager.hook.components.get_hookimpls():
                if implementation.plugin is plugin:
                    _check_table(implementation.function())
        # Whatever an external module raises on import, SystemExit included, it must not stop this program.
        except (Exception, SystemExit) as error:
            if manager.has_plugin(entry.name):
                manager.unregister(name=entry.name)
            reason = one_line(error)
            problems.append(f"plugin {entry.name} ({origin}) is not loaded: {type(error).__name__}: {reason}")
    return manager, problems


def _check_table(table: object) -> None:
    """Raise `ValueError` where a plugin's `components()` is no table of kinds, names and places."""
    if not isinstance(table, dict):
        raise ValueError(f"components() must return a dictionary, not {type(table).__name__}")
    for kind, places in table.items():
        if kind not in KINDS:
            raise ValueError(f"components(): there is no kind '{kind}'{nearest(kind, KINDS)}")
        for name, place in places.items():
            if not (isinstance(name, str) and isinstance(place, str) and all(place.partition(":"))):
                raise ValueError(f"components(): {kind} '{name}' must be 'package.module:Class', not {place!r}")


def plugin_options(manager: pluggy.PluginManager) -> Iterator[Declared]:
    """Yield the options that plugins declare for their whole package; a plugin that fails is named in a `UserError`."""
    for implementation in manager.hook.options.get_hookimpls():
        section = _call(implementation, "options")
        if not (isinstance(section, type) and issubclass(section, Section)):
            raise UserError(f"plugin {implementation.plugin_name}: options() must return a class derived from Section")
        title = section.title or f"options of the plugin {implementation.plugin_name}"
        for option in options_of(section).values():
            yield Declared(option, section.__name__, title, plugin=implementation.plugin_name)


def plugin_components(manager: pluggy.PluginManager, kind: str) -> Iterator[tuple[str, str, str]]:
    """What plugins contribute of a kind: (plugin, name, `"package.module:Class"`); one that fails is named."""
    for implementation in manager.hook.components.get_hookimpls():
        for name, place in _call(implementation, "components").get(kind, {}).items():
            yield implementation.plugin_name, name, place


def _call(implementation: pluggy.HookImpl, hook: str, *arguments: object) -> Any:
    """Call a plugin's code; what it raises becomes a `UserError` that names the plugin, the hook and the line."""
    try:
        return implementation.function(*arguments)
    except (Exception, SystemExit) as error:  # of the plugin's own code
        reason = f"{type(error).__name__}: {one_line(error)}"
        where = raised_at(error, implementation.function.__code__.co_filename)
        advice = f"; --disable_plugin {implementation.plugin_name} goes without it"
        raise UserError(f"plugin {implementation.plugin_name}: {hook}: {reason}{where}{advice}") from error


def observed_by_none() -> pluggy.HookRelay:
    """Return hooks that nobody listens to."""
    return empty_manager().hook


def empty_manager() -> pluggy.PluginManager:
    """Return a manager without any plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specification)
    return manager


def plugin_versions(manager: pluggy.PluginManager) -> dict[str, str]:
    """Return entry-point name -> `"package version"` for each installed plugin in use."""
    return {
        entry.name: f"{entry.dist.name} {entry.dist.version}"
        for entry in entry_points(group=PROJECT)
        if entry.dist and manager.has_plugin(entry.name)
    }


def plugin_packages(manager: pluggy.PluginManager) -> set[str]:
    """Return the names of the top-level packages that installed plugins in use are imported from."""
    used = [entry for entry in entry_points(group=PROJECT) if manager.has_plugin(entry.name)]
    return {entry.module.partition(".")[0] for entry in used}
