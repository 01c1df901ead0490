"""Groups runs that differ in nothing but their seed, and finds what those that are compared differ in.

How groups are formed. A setting counts if it can change the network that comes out: the flags of the network, the data,
pruning and training, the precision, and the options of the run's own components; not the seed, names and places. Among
the runs of one network, data set and criterion the settings that take several values are found:

- those that say how much is pruned (`STRENGTHS`) make the points of a line; without `--pruning_limit` where a
  criterion does not read it;
- those of pruning, and options of components, extend the line's name, which begins with the criterion;
- all others make a panel of their own, as do networks and data sets. Where there is one criterion, they extend the
  line's name instead.

Controls, which `--controls` runs beside others, stand beside the group of the run that they are controls of.

What differs between criteria only, as their epochs, stays in one panel: it is compared, and `differences` names it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.grid.controls import DENSE
from secateur.grid.options import GridOptions
from secateur.grid.trials import key_of
from secateur.reports.collect import NAMED, RunRecord
from secateur.reports.run_options import has_limit, known_options
from secateur.utils.text import first_few

#: Settings that say how much is pruned: the points of a line.
STRENGTHS = ("pruning_limit", "pruning_rate", "hoyer_reg", "l0_reg")
#: What groups do not tell apart: `compression` is folded into `pruning_limit`; `explicit` is no setting.
NO_MATTER = ("compression", "explicit", "seed", "smoke")
#: How a page calls the controls that `--controls` runs.
CONTROLS = {
    "same_parameters": "dense, equal parameters",
    "same_flops": "dense, equal FLOPs",
    "same_densities": "random, same layer densities",
    "shuffled": "mask shuffled within layers",
    "reinitialised": "weights re-initialised",
}
#: Numbers that differ by less, as a share, are equal but for the rounding of their sum.
ROUNDING = 1e-12


@dataclass
class Group:
    """Runs that differ in nothing but their seed."""

    #: The network, the data and how it was trained, as a heading says it.
    panel: str
    #: The criterion, with what else tells it from its neighbours.
    line: str
    #: How much was to be pruned, as "10x", and to sort by.
    target: str
    strength: tuple[float, ...]
    runs: list[RunRecord]
    #: What these runs are a control of the line as, see `secateur.grid.controls`; "" for a line's own.
    control: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Network and data, line and how much was to be pruned: what a group shares with its controls alone."""
        return self.panel, self.line, self.target

    @property
    def name(self) -> str:
        """The line, and which control of it this is."""
        return f"{self.line}: {CONTROLS[self.control]}" if self.control else self.line


@dataclass(frozen=True)
class Mean:
    """A mean with the sample's standard deviation, which takes two values at least."""

    value: float
    deviation: float | None
    n: int

    def shown(self, decimals: int = 2, factor: float = 1) -> str:
        """As "97.22 ± 0.10 (3)", both with so many decimals."""
        spread = "" if self.deviation is None else f" ± {factor * self.deviation:.{decimals}f}"
        return f"{factor * self.value:.{decimals}f}{spread} ({self.n})"


def mean(values: Iterable[float | None]) -> Mean | None:
    """The mean of those values that were measured, and are finite; None where none was."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    if not found:
        return None
    return Mean(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))


def group(runs: Sequence[RunRecord]) -> list[Group]:
    """Group the finished trainings by the rule above; sorted by panel, line and how much was pruned.

    A control stands behind the group of the run that it controls. Those of runs that are not there are left out.
    """
    trained = [run for run in runs if run.trained and run.settings.get("control") not in CONTROLS]
    varying = _varying(trained, lambda name: _matters(name))
    one_criterion = len({run.settings.get("prune_criterion") for run in trained} - {DENSE}) == 1

    def prunes(name: str) -> bool:
        one = known_options().get(name)
        return one is None or one.title == "pruning"

    of_line = [name for name in varying if one_criterion or prunes(name)]
    strengths = [name for name in STRENGTHS[1:] if name in _varying(trained, STRENGTHS.__contains__)]
    groups: dict[tuple[str, str, str], Group] = {}
    for run in trained:
        settings = run.settings
        dense = settings.get("prune_criterion") == DENSE
        panel = [f"{settings.get('model')} on {settings.get('data_set')}"]
        panel += [_said(name, settings) for name in varying if name not in of_line and name in settings]
        line = [str(settings.get("prune_criterion"))]
        line += [_said(name, settings) for name in of_line if name in settings and not (dense and prunes(name))]
        limit = 0.0 if dense or not has_limit(settings) else _number(settings.get("pruning_limit"))
        key = (", ".join(panel), ", ".join(line), _target(settings, limit, strengths))
        strength = (limit, *(_number(settings.get(name)) for name in strengths))
        groups.setdefault(key, Group(*key, strength, [])).runs.append(run)
    found = [*groups.values(), *_controls(groups.values(), [run for run in runs if run.trained])]
    places = {control: place for place, control in enumerate(("", *CONTROLS))}
    return sorted(
        found,
        key=lambda one: (one.panel, one.line != DENSE, one.line.lower(), one.strength, places[one.control]),
    )


def _target(settings: dict[str, Any], limit: float, strengths: Sequence[str]) -> str:
    """How much a run was to be pruned: as a compression, if its criterion has one to reach, and by its strengths."""
    if settings.get("prune_criterion") == DENSE:
        return "1x"
    if has_limit(settings):
        amount = [f"{1 / (1 - limit):.6g}x" if limit < 1 else "all"]
        return ", ".join([*amount, *(_said(name, settings) for name in strengths if name in settings)])
    return ", ".join(_said(name, settings) for name in STRENGTHS[1:] if name in settings) or "no limit"


def _controls(groups: Iterable[Group], trained: Sequence[RunRecord]) -> list[Group]:
    """The controls among the runs, as groups beside those that they are of."""
    controlled = {f"_{key}": one for one in groups for run in one.runs if (key := key_of(run.folder))}
    found: dict[tuple[int, str], Group] = {}
    for run in trained:
        control, of = run.settings.get("control"), controlled.get(run.settings.get("control_of"))
        if of and control in CONTROLS:
            own = Group(of.panel, of.line, of.target, of.strength, [], control)
            found.setdefault((id(of), control), own).runs.append(run)
    return list(found.values())


def differences(groups: Sequence[Group]) -> list[tuple[str, dict[str, list[RunRecord]]]]:
    """What the runs of one panel differ in though they are compared: by "panel: what", the runs with each value.

    Beside `EQUAL` these are flags of data and training, and options of components, that differ between criteria. Those
    that vary within one are in the panel's or the line's name.
    """
    found = []
    for panel in dict.fromkeys(one.panel for one in groups):
        runs = [run for one in groups if one.panel == panel for run in one.runs]
        compared = {what: (read, runs) for what, read in EQUAL.items()}
        names = {name for run in runs for name in run.settings if _is_training(name)}
        for name in sorted(names.difference(_varying(runs, names.__contains__))):
            compared[f"--{name}"] = _setting(name), [run for run in runs if name in run.settings]
        for what, (read, those) in compared.items():
            values: dict[str, list[RunRecord]] = {}
            for run in those:
                values.setdefault(str(read(run)), []).append(run)
            if len(values) > 1:
                found.append((f"{panel}: {what}", values))
    return found


def criteria_of(runs: Sequence[RunRecord]) -> str:
    """Which runs these are, in short: their number and criteria."""
    names = sorted({str(run.settings.get("prune_criterion")) for run in runs}, key=str.lower)
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {first_few(names, 4)}"


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (x, y) that no other one beats, larger being better in both; sorted by x."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front[::-1]


def _setting(name: str) -> Callable[[RunRecord], Any]:
    return lambda run: run.settings.get(name)


def _measured(name: str) -> Callable[[RunRecord], Any]:
    return lambda run: run.environment.get(name)


def _epochs(run: RunRecord) -> Any:
    return sum(_number(run.settings.get(name)) for name in ("pre_epochs", "epochs"))


def _code(run: RunRecord) -> str:
    changed = " with changes" if run.environment.get("git_changes") else ""
    return str(run.environment.get("git_commit"))[:10] + changed


def _torch(run: RunRecord) -> Any:
    packages = run.environment.get("packages")
    return packages.get("torch") if isinstance(packages, dict) else None


#: What should be equal among runs that are compared, by its name on the page.
EQUAL: dict[str, Callable[[RunRecord], Any]] = {
    "data set": _setting("data_set"),
    "input shape": lambda run: "x".join(map(str, run.input_shape or run.settings.get("input_dim") or ["its own"])),
    "training images (--N)": _setting("N"),
    "images held out (--tuning)": _setting("tuning"),
    "epochs in all": _epochs,
    "batch size": _setting("batch_size"),
    "optimizer": _setting("optimizer"),
    "learning rate": _setting("learning_rate"),
    "learning rate's schedule": _setting("lr_schedule"),
    "weight decay": _setting("l2_reg"),
    "precision": _setting("precision"),
    "code": _code,
    "torch": _torch,
    "device": lambda run: f"{_measured('device')(run)} {_measured('device_name')(run)}",
    "threads": _measured("threads"),
}

#: The flags that these read.
IN_EQUAL = (
    *("input_dim", "N", "tuning", "pre_epochs", "epochs", "batch_size", "optimizer", "learning_rate", "lr_schedule"),
    *("l2_reg", "precision"),
)


def _matters(name: str) -> bool:
    """Whether a setting can change the network that comes out."""
    if name in (*NO_MATTER, *NAMED, *STRENGTHS):
        return False
    one = known_options().get(name)
    return one is None or (one.option.changes_numbers and not one.option.is_path and one.title != GridOptions.title)


def _is_training(name: str) -> bool:
    """Whether a setting is of the data or of training, or an option of a component, and not named in `EQUAL`."""
    one = known_options().get(name)
    return _matters(name) and not (one and one.title == "pruning") and name not in IN_EQUAL


def _varying(runs: Sequence[RunRecord], counts: Callable[[str], bool]) -> list[str]:
    """The settings that take several values among the runs of one network, data set and criterion.

    A run that does not have a setting, as one of an older version, says nothing about it; null is a switch that is off.
    """
    values: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for run in runs:
        same = values.setdefault(tuple(str(run.settings.get(name)) for name in NAMED), {})
        for name, value in run.settings.items():
            if counts(name):
                same.setdefault(name, set()).add(json.dumps(False if value is None else value))
    return sorted({name for same in values.values() for name, taken in same.items() if len(taken) > 1})


def _said(name: str, settings: dict[str, Any]) -> str:
    value = settings[name]
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
