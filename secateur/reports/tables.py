"""The tables of a report, as rows of cells: one source for the page and for the CSV files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.reports.collect import RunRecord
from secateur.reports.groups import DENSE, Group, Mean, mean
from secateur.reports.measures import (
    ACCURACY,
    BYTES,
    COMPRESSION,
    FLOPS,
    LATENCY,
    NODES,
    PARAMETERS,
    SPEED_UP,
    TESTING,
    THEORETICAL,
    TOP5,
    TRAINING,
    TRAINING_FLOPS,
    Measure,
)

LOSS = Measure("loss", "loss", lambda run: run.figure("test_loss"), 1, 4)
SPARSITY = Measure("sparsity", "weights pruned [%]", lambda run: run.figure("weight_sparsity"), 100)
#: What the table of all groups shows; what was measured of no group is left out.
MEASURES = (
    ACCURACY,
    TOP5,
    LOSS,
    SPARSITY,
    NODES,
    COMPRESSION,
    PARAMETERS,
    BYTES,
    FLOPS,
    THEORETICAL,
    *SPEED_UP.values(),
    *LATENCY.values(),
    TESTING,
    TRAINING_FLOPS,
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
    means = {(one.panel, one.target, one.line): measure.mean(one) for one in groups}
    if not any(means.values()):
        return None
    decimals = measure.decimals_of(list(means.values()))
    lines = sorted({one.line for one in groups}, key=lambda line: (line != DENSE, line.lower()))
    places = dict.fromkeys((one.panel, one.target) for one in sorted(groups, key=lambda one: (one.panel, one.strength)))
    rows = []
    for panel, target in places:
        row = [Cell(panel), Cell(target, float(target[:-1]) if _is_ratio(target) else None)]
        row += [_mean_cell(means.get((panel, target, line)), measure.factor, decimals) for line in lines]
        rows.append(row)
    return ReportTable(measure.name, measure.label, ["network", "compression", *lines], rows)


def all_groups(groups: Sequence[Group], more: Sequence[Measure] = ()) -> ReportTable:
    """A row for each group, a column for each measure that there is, of `MEASURES` and more."""
    columns = {measure: [measure.mean(one) for one in groups] for measure in (*MEASURES, *more)}
    measures = {measure: measure.decimals_of(means) for measure, means in columns.items() if any(means)}
    rows = []
    for number, one in enumerate(groups):
        row = [Cell(one.panel), Cell(one.name), Cell(one.target, one.strength[0]), Cell(str(len(one.runs)))]
        row += [_mean_cell(columns[measure][number], measure.factor, measures[measure]) for measure in measures]
        rows.append(row)
    heads = ["network", "criterion", "compression", "runs", *(titled(measure) for measure in measures)]
    return ReportTable("groups", "mean ± standard deviation (number of runs)", heads, rows)


def layers(groups: Sequence[Group]) -> ReportTable:
    """The mean density of each layer of each group, in the order of the network."""
    rows = [
        [
            Cell(one.panel),
            Cell(one.name),
            Cell(one.target, one.strength[0]),
            Cell(layer),
            _mean_cell(mean(run.densities.get(layer) for run in one.runs), 100, 3),
        ]
        for one in groups
        for layer in one.runs[0].densities
    ]
    columns = ["network", "criterion", "compression", "layer", "weights kept [%]"]
    return ReportTable("layers", "weights that are kept of each layer", columns, rows)


def all_runs(runs: Sequence[RunRecord], more: Sequence[Measure] = ()) -> ReportTable:
    """Every run that was found, finished or not, with a column for each of the further measures."""
    rows = []
    for run in runs:
        settings = run.settings
        named = [Cell(str(settings.get(name, ""))) for name in ("model", "data_set", "prune_criterion", "seed")]
        figures = [
            _number(run.accuracy, 100, "{:.2f}"),
            _number(run.figure("weight_sparsity"), 100, "{:.2f}"),
            _number(run.figure("seconds_training"), 1, "{:.1f}"),
            *(_number(one.of(run), one.factor, f"{{:.{one.decimals}f}}") for one in more),
        ]
        rows.append(
            [
                Cell(run.name, link=run.folder),
                Cell(run.outcome),
                *named,
                *figures,
                Cell(run.reason),
                Cell(run.command, folded=True),
            ]
        )
    columns = ["run", "status", "model", "data set", "criterion", "seed", "accuracy [%]", "weights pruned [%]"]
    columns += ["training [s]", *(one.label for one in more), "why not finished", "command"]
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


def titled(measure: Measure) -> str:
    """With the batch size, which the label of a speed-up does not say."""
    return f"{measure.label}, {measure.name[9:].replace('_', ' ')}" if measure in SPEED_UP.values() else measure.label


def _mean_cell(found: Mean | None, factor: float, decimals: int) -> Cell:
    return Cell(found.shown(decimals, factor), found.value) if found else Cell("")


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
