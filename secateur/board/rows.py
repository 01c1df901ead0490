"""What the board says of runs, as JSON has it: rows of the table, and the details of one run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from secateur.grid.options import GridOptions
from secateur.grid.run_folders import INTERRUPTIONS
from secateur.reports.collect import NAMED, STILL_GOING, RunRecord
from secateur.reports.groups import EQUAL, NO_MATTER, STRENGTHS, Mean
from secateur.reports.run_options import known_options
from secateur.reports.tables import MEASURES, titled
from secateur.runs.checkpoint_metadata import DATE, KEY
from secateur.utils.drawing import COLOURS
from secateur.utils.errors import shortened
from secateur.utils.text import is_figure

if TYPE_CHECKING:
    from secateur.board.runs import Watched

#: Of a curve so many points are shown at most; and of a value so many letters.
MOST_POINTS, LONGEST = 600, 300
#: So many options can be columns; and of one run so many options, layers and curves are shown. No run has more.
MOST_COLUMNS, FIRST_COLUMNS, MOST = 60, 4, 2000
#: What the code and the machine of runs are compared by.
MACHINE = ("code", "torch", "device", "threads")


def listing_of(found: Mapping[str, Watched], problems: Sequence[str]) -> dict[str, Any]:
    """The rows of all runs by name, the measures and the options that are columns, and what cannot be read."""
    runs = [one.run for one in found.values()]
    names, first = _varying(runs), _most_varied(runs)
    columns = [{"name": name, "shown": name in first} for name in names]
    means = {one: [Mean(value, None, 1) for run in runs if is_figure(value := one.of(run))] for one in MEASURES}
    measures = [(one.name, titled(one), one.decimals_of(values)) for one, values in means.items()]
    return {
        "colours": COLOURS,
        "measures": [{"name": name, "label": label, "decimals": decimals} for name, label, decimals in measures],
        "options": columns,
        "problems": list(problems),
        "runs": [_row(name, one, names) for name, one in found.items()],
    }


def details_of(name: str, one: Watched) -> dict[str, Any]:
    """A run's figures, options, curves and layers."""
    run = one.run
    typed = _typed(run)
    options = islice(sorted(run.settings.items()), MOST)
    said = {key: _shown(value) for key, value in options if key not in (*NAMED, "explicit")}
    measured = islice(dict.fromkeys(key for row in run.epochs for key in row), MOST)
    return {
        **_row(name, one, ()),
        "problem": one.problem,
        "command": shortened(run.command, 4000),
        "options": said,
        "typed": sorted(typed & said.keys()),
        "machine": {what: _shown(EQUAL[what](run)) for what in MACHINE} if run.environment else {},
        "curves": {key: _curve(run.epochs, key) for key in measured},
        "layers": [[layer, share] for layer, share in islice(run.densities.items(), MOST)],
        "checkpoint": any(True for _ in run.folder.glob("models/*.safetensors")),
    }


def status_of(one: Watched) -> str:
    """finished, test, running, interrupted, failed or damaged."""
    if one.running:
        return "running"
    by_request = any(f" ended by {error}:" in one.run.reason for error in INTERRUPTIONS)
    if one.run.status == "incomplete" or (one.run.status == "failed" and by_request):
        return "interrupted"
    return one.run.outcome


def _row(name: str, one: Watched, options: Iterable[str]) -> dict[str, Any]:
    run, status = one.run, status_of(one)
    latest = run if run.results else replace(run, results=_latest(run.epochs))
    folder = name.rpartition("/")[2]
    date = DATE.match(folder)
    figures = {one.name: one.of(latest) for one in MEASURES}
    return {
        "id": name,
        "name": KEY.sub("", DATE.sub("", folder)) or folder,
        "group": name.rpartition("/")[0],
        "started": date[0][:19].replace("_", " ").replace(".", ":") if date else "",
        "status": status,
        "reason": "" if status in ("finished", "test") else shortened(_reason(run, status), LONGEST),
        **{key: _shown(run.settings.get(key, "")) for key in NAMED},
        "epoch": run.epochs[-1]["epoch"] if run.epochs else None,
        "epochs": _epochs(run),
        "figures": {measure.name: figures[measure.name] * measure.factor for measure in MEASURES
                    if is_figure(figures[measure.name])},
        "options": {key: _shown(run.settings[key]) for key in options if key in run.settings},
        "version": one.version,
    }  # fmt: skip


def _reason(run: RunRecord, status: str) -> str:
    """Why a run has not finished; of one that is running the last line of its log."""
    last = run.reason.removeprefix(STILL_GOING)
    return f"it ended without a word; last: {last}" if status == "interrupted" and last != run.reason else last


def _latest(epochs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The last of each figure of metrics.csv, whose columns are called as those of results.json."""
    return {name: value for row in epochs for name, value in row.items()}


def _epochs(run: RunRecord) -> int | float | None:
    """How many epochs the run takes in all; None where it does not say."""
    parts = [run.settings.get(name, 0) for name in ("pre_epochs", "epochs")]
    return sum(parts) if all(map(is_figure, parts)) and not run.settings.get("eval") else None


def _curve(epochs: Sequence[Mapping[str, float]], name: str) -> list[list[float]]:
    """The epochs at which something was measured, and its values; evenly spaced ones where they are many."""
    points = [(row["epoch"], row[name]) for row in epochs if name in row]
    step = math.ceil(len(points) / MOST_POINTS)
    chosen = points if step < 2 else [*points[:-1:step], points[-1]]
    return [list(values) for values in zip(*chosen, strict=True)]


def _typed(run: RunRecord) -> set[str]:
    """The options that were typed."""
    typed = run.settings.get("explicit")
    return {name for name in typed if isinstance(name, str)} if isinstance(typed, list) else set()


def _varying(runs: Sequence[RunRecord]) -> list[str]:
    """The options in which runs differ and which are no places: how much is pruned first, the seed last."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.settings.items():
            values.setdefault(name, set()).add(json.dumps(value))
    left_out = {*NAMED, *NO_MATTER, "run_name", "eval"} - {"seed"}
    found = [name for name, taken in values.items() if len(taken) > 1 and name not in left_out and not _is_path(name)]
    places = {name: place for place, name in enumerate(STRENGTHS)} | {"seed": len(found) + len(STRENGTHS)}
    return sorted(found, key=lambda name: (places.get(name, len(STRENGTHS)), name))[:MOST_COLUMNS]


def _most_varied(runs: Sequence[RunRecord]) -> list[str]:
    """The options that are columns unless others are chosen: those that runs of one network, data and criterion vary.

    Of more than `FIRST_COLUMNS` those are taken that most criteria vary.
    """
    values: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for run in runs:
        same = tuple(str(run.settings.get(name)) for name in NAMED)
        for name in _typed(run) & run.settings.keys():
            if _matters(name):
                values.setdefault(name, {}).setdefault(same, set()).add(json.dumps(run.settings[name]))
    varied = {name: sum(len(taken) > 1 for taken in groups.values()) for name, groups in values.items()}
    return sorted((name for name, number in varied.items() if number), key=lambda name: -varied[name])[:FIRST_COLUMNS]


def _matters(name: str) -> bool:
    """Whether an option can change the network that comes out."""
    one = known_options().get(name)
    return one is None or name in ("seed", "control") or one.option.changes_numbers


def _is_path(name: str) -> bool:
    one = known_options().get(name)
    return bool(one) and (one.option.is_path or one.title == GridOptions.title)


def _shown(value: Any) -> Any:
    """A value as the page can show it: a number, a switch, or text."""
    if value is None or isinstance(value, bool) or (is_figure(value) and abs(value) < 2**53):
        return value
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return shortened(str(value), LONGEST)
