"""The tables of a report, as rows of cells: one source for the page and for the CSV files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.reports.collect import RunRecord
from secateur.reports.groups import DENSE, Group, mean
from secateur.reports.measures import (
    ACCURACY,
    COMPRESSION,
    FLOPS,
    LATENCY,
    NODES,
    SPEED_UP,
    TESTING,
    TRAINING,
    Measure,
)

LOSS = Measure("loss", "loss", lambda run: run.figure("test_loss"), 1, "{:.4f}")
SPARSITY = Measure("sparsity", "weights pruned [%]", lambda run: run.figure("weight_sparsity"), 100)
#: What the table of all groups shows; what was measured of no group is left out.
MEASURES = (
    ACCURACY,
    LOSS,
    SPARSITY,
    NODES,
    COMPRESSION,
    FLOPS,
    TESTING,
    *LATENCY.values(),
    *SPEED_UP.values(),
    TRAINING,
)
#: So many cells of testers' tables a page has room for.
MOST_CELLS = 50_000
#: What is table_created by target and line.
COMPARED = (ACCURACY, TESTING, *LATENCY.values(), FLOPS)


@dataclass(frozen=True)
class Cell:
    """What a person reads, what to sort by where that is another thing, and where it leads."""

    text: str
    value: float | None = None
    link: Path | None = None
    #: Shown only when opened.
    folded: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table of the page; `name` is that of its CSV file."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def compared(groups: Sequence[Group], measure: Measure) -> ReportTable | None:
    """Means of one measure, a row for each panel and target, a column for each line; None where none was measured."""
    if not any(measure.mean(one) for one in groups):
        return None
    lines = sorted({one.line for one in groups}, key=lambda line: (line != DENSE, line.lower()))
    by_place = {(one.panel, one.target, one.line): one for one in groups}
    places = dict.fromkeys((one.panel, one.target) for one in sorted(groups, key=lambda one: (one.panel, one.strength)))
    rows = []
    for panel, target in places:
        row = [Cell(panel), Cell(target, float(target[:-1]) if _is_ratio(target) else None)]
        row += [_mean_cell(by_place.get((panel, target, line)), measure) for line in lines]
        rows.append(row)
    return ReportTable(measure.name, measure.label, ["network", "compression", *lines], rows)


def all_groups(groups: Sequence[Group]) -> ReportTable:
    """A row for each group, a column for each measure that there is."""
    measures = [measure for measure in MEASURES if any(measure.mean(one) for one in groups)]
    rows = []
    for one in groups:
        row = [Cell(one.panel), Cell(one.line), Cell(one.target, one.strength[0]), Cell(str(len(one.runs)))]
        rows.append(row + [_mean_cell(one, measure) for measure in measures])
    columns = ["network", "criterion", "compression", "runs", *(_titled(measure) for measure in measures)]
    return ReportTable("groups", "mean ± standard deviation (number of runs)", columns, rows)


def layers(groups: Sequence[Group]) -> ReportTable:
    """The mean density of each layer of each group, in the order of the network."""
    rows = [
        [Cell(one.panel), Cell(one.line), Cell(one.target, one.strength[0]), Cell(layer), _share(one, layer)]
        for one in groups
        for layer in one.runs[0].densities
    ]
    columns = ["network", "criterion", "compression", "layer", "weights kept [%]"]
    return ReportTable("layers", "weights that are kept of each layer", columns, rows)


def all_runs(runs: Sequence[RunRecord]) -> ReportTable:
    """Every run that was found, finished or not."""
    rows = []
    for run in runs:
        settings = run.settings
        named = [Cell(str(settings.get(name, ""))) for name in ("model", "data_set", "prune_criterion", "seed")]
        figures = [
            _number(run.accuracy, 100, "{:.2f}"),
            _number(run.figure("weight_sparsity"), 100, "{:.2f}"),
            _number(run.figure("seconds_training"), 1, "{:.1f}"),
        ]
        status = "test" if run.status == "finished" and settings.get("eval") else run.status
        rows.append(
            [
                Cell(run.name, link=run.folder),
                Cell(status),
                *named,
                *figures,
                Cell(run.reason),
                Cell(run.command, folded=True),
            ]
        )
    columns = ["run", "status", "model", "data set", "criterion", "seed", "accuracy [%]", "weights pruned [%]"]
    columns += ["training [s]", "why not finished", "command"]
    return ReportTable("runs", "all runs", columns, rows)


def of_testers(runs: Sequence[RunRecord]) -> tuple[list[ReportTable], int]:
    """The tables that testers left in run folders, the first rows of each; and how many more a page has no room for."""
    found, room = [], MOST_CELLS
    for run in runs:
        for name, rows in run.tables.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            room -= len(columns) * len(rows)
            if room < 0:
                continue
            cells = [[_as_read(row.get(column, "")) for column in columns] for row in rows]
            number = run.table_rows[name]
            more = f", the first {len(rows)} of {number:,} rows" if number > len(rows) else ""
            found.append(ReportTable("", f"{run.name}/output/{name}{more}", columns, cells))
    return found, sum(len(run.tables) for run in runs) - len(found)


def _titled(measure: Measure) -> str:
    """With the batch size, which the label of a speed-up does not say."""
    return f"{measure.label}, {measure.name[9:].replace('_', ' ')}" if measure in SPEED_UP.values() else measure.label


def _mean_cell(group: Group | None, measure: Measure) -> Cell:
    found = measure.mean(group) if group else None
    return Cell(found.shown(measure.form, measure.factor), found.value) if found else Cell("")


def _share(group: Group, layer: str) -> Cell:
    found = mean(run.densities.get(layer) for run in group.runs)
    return Cell(found.shown("{:.3f}", 100), found.value) if found else Cell("")


def _number(value: float | None, factor: float, form: str) -> Cell:
    return Cell("") if value is None else Cell(form.format(factor * value), value)


def _as_read(text: str) -> Cell:
    """A cell of a CSV file, its number with six digits."""
    try:
        value = float(text)
    except ValueError:
        return Cell(text)
    return Cell(text if len(text) <= 10 else f"{value:.6g}", value)


def _is_ratio(target: str) -> bool:
    return target.endswith("x") and target[:-1].replace(".", "", 1).isdigit()
