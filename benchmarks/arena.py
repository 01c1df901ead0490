"""Makes docs/arena.md, its tables and its figures from the runs in docs/arena/runs.tar.xz: the same bytes each time.

    python3 benchmarks/arena.py

docs/arena/page.txt is the page without what comes from the runs; `$arena_mnist` stands there for the results of that
grid. After the grids have run, `python3 benchmarks/arena_archive.py gitignored/results` packs them anew.
"""

import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.arena_archive import ARCHIVE, ROOT, unpack
from secateur.reports.blocks import is_dense
from secateur.reports.collect import RunRecord, collect
from secateur.reports.comparisons import AgainstDense, Ranking, against_dense, interval_of
from secateur.reports.conclusions import METHOD, conclude
from secateur.reports.figures import draw
from secateur.reports.groups import Group, group, mean
from secateur.reports.measures import ACCURACY
from secateur.reports.panels import Picture
from secateur.reports.rank_figure import rank_pictures
from secateur.reports.svg import as_file, svg
from secateur.reports.tables import ReportTable, all_groups, all_runs
from secateur.utils.text import csv_text

PAGE, TEXT = ROOT / "docs" / "arena.md", ROOT / "docs" / "arena" / "page.txt"
#: Of the figures of a report, those on the page; the others a report shows.
FIGURES = ("accuracy_by_compression", "accuracy_by_flops")


def main() -> None:
    """Write the page and what belongs to it."""
    for old in (path for path in ARCHIVE.parent.iterdir() if path.suffix in (".csv", ".svg")):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        grids = sorted(Path(folder).iterdir())
        parts = {grid.name.removeprefix("grid_"): grid for grid in grids}
        texts = {
            name: tuning(grid) if name.endswith("_tuning") else "\n".join(results(name, grid))
            for name, grid in parts.items()
        }
        texts |= facts([run for grid in grids for run in collect([grid])[0]])
    texts["method"] = METHOD
    wanted = Template(TEXT.read_text(encoding="utf-8")).get_identifiers()
    texts = dict.fromkeys(wanted, "Nothing of this has run yet.") | texts
    PAGE.write_text(Template(TEXT.read_text(encoding="utf-8")).substitute(texts), encoding="utf-8")


def facts(runs: Sequence[RunRecord]) -> dict[str, str]:
    """What the page says of all runs."""
    days = sorted({run.name[:10] for run in runs})
    hours = sum(run.figure("seconds") or 0 for run in runs) / 3600
    machines = sorted({f"{run.environment['device_name']}, {run.environment['threads']} thread" for run in runs})
    torch = sorted({run.environment["packages"]["torch"] for run in runs})
    return {
        "runs": f"{len(runs):,}",
        "days": " to ".join(dict.fromkeys((days[0], days[-1]))),
        "hours": f"{hours:.1f}",
        "machine": "; ".join(machines),
        "torch": ", ".join(torch),
    }


def tuning(grid: Path) -> str:
    """The held-out accuracy of each criterion at each learning rate, the chosen one in bold."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for run in collect([grid])[0]:
        found[run.settings["prune_criterion"]][run.settings["learning_rate"]] = run.accuracy
    rates = sorted({rate for trials in found.values() for rate in trials})
    rows = []
    for criterion, trials in sorted(found.items(), key=lambda one: one[0].lower()):
        best = max(trials.values())
        chosen = min(rate for rate, accuracy in trials.items() if accuracy == best)
        shown = {rate: f"{100 * accuracy:.2f}" for rate, accuracy in trials.items()}
        rows.append([criterion, *(f"**{shown[rate]}**" if rate == chosen else shown.get(rate, "") for rate in rates)])
    return markdown(["criterion", *(f"rate {rate:g}" for rate in rates)], rows)


def results(name: str, grid: Path) -> Iterator[str]:
    """The lines of the page on one grid: how much of it has run, its table, its conclusions, its figures."""
    runs, problems = collect([grid])
    groups = group(runs)
    sentences, tables, ranked = conclude(groups, groups)
    for table in (*tables, all_groups(groups), all_runs(runs)):
        write_table(name, table)
    recipe = (ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    planned = re.search(r"^# (\d+) runs", recipe, re.MULTILINE)[1]
    yield f"{len(runs)} of the {planned} runs of the grid have finished.\n"
    for panel in dict.fromkeys(one.panel for one in groups):
        own = [one for one in groups if one.panel == panel]
        yield of_panel(own, against_dense(own), [one for one in ranked if one.scope.name == panel]) + "\n"
    files = ", ".join(f"[{table.name}](arena/{name}_{table.name}.csv)" for table in (*tables, all_groups(groups)))
    yield f"Tables in full: {files}, [all runs](arena/{name}_runs.csv).\n"
    # What is said of the dense network stands in the table.
    said = [one for one in sentences if "against the dense network" not in one and "has not collapsed" not in one]
    yield "\n".join(f"- {sentence}" for sentence in said) + "\n"
    pictures = [*rank_pictures(ranked), *drawn(groups, problems)]
    for picture in pictures:
        yield write_picture(name, picture) + "\n"
    if problems:
        raise SystemExit("\n".join(problems))


def drawn(groups: Sequence[Group], problems: list[str]) -> Iterator[Picture]:
    """The figures of the page; the others, which come behind them, are not drawn."""
    left = set(FIGURES)
    for picture in draw(groups, problems):
        if picture.name in left:
            yield picture
            left.remove(picture.name)
        if not left:
            return


def of_panel(groups: Sequence[Group], found: Sequence[AgainstDense], ranked: Sequence[Ranking]) -> str:
    """A row for each method, the best mean rank first: accuracy, and beside it the difference to dense."""
    targets = list(dict.fromkeys(one.group.target for one in sorted(found, key=lambda one: one.group.strength)))
    ranks = {method: rank for one in ranked if one.ranks for method, rank in one.ranks.mean.items()}
    cells = {(one.group.line, one.group.target): cell(one) for one in found}
    cost = {line: training_cost(groups, line) for line, _ in cells}
    lines = sorted(cost, key=lambda line: (ranks.get(line, float("inf")), line.lower()))
    rows = []
    for line in lines:
        rank = f"{ranks[line]:.2f}" if line in ranks else ""
        rows.append([line, rank, cost[line], *(cells.get((line, one), "") for one in targets)])
    dense = next((ACCURACY.mean(one) for one in groups if is_dense(one)), None)
    text = f"**{groups[0].panel}.** "
    if dense:
        low, high = interval_of(dense) or (dense.value, dense.value)
        text += f"Dense: {100 * dense.value:.2f} % [{100 * low:.2f}, {100 * high:.2f}], n = {dense.n}. "
    sizes = sorted({one.accuracy.n for one in found})
    seeds = " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))
    text += f"Each cell is the mean test accuracy in per cent of {seeds} seeds, then the difference to dense of the "
    text += "same seed in points with its 95 % interval.\n\n"
    return text + markdown(["criterion", "mean rank", "training FLOPs", *targets], rows)


def cell(one: AgainstDense) -> str:
    """As "96.75, -1.05 [-1.60, -0.50]"."""
    text = f"{100 * one.accuracy.value:.2f}"
    ends = interval_of(one.difference) if one.difference else None
    if ends is None:
        return text
    return f"{text}, {100 * one.difference.value:+.2f} [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]"


def training_cost(groups: Sequence[Group], line: str) -> str:
    """The operations of training of the least and the most pruned network, in those of the dense one."""

    def flops(of: Group) -> float:
        return mean(run.figure("flops_training_total") for run in of.runs).value

    dense = next((flops(one) for one in groups if is_dense(one)), None)
    own = sorted((one for one in groups if one.line == line and not is_dense(one)), key=lambda one: one.strength)
    if not dense or not own:
        return ""
    return " to ".join(dict.fromkeys(f"{flops(one) / dense:.2f}" for one in (own[0], own[-1])))


def write_table(name: str, table: ReportTable) -> None:
    """A table as docs/arena/<grid>_<table>.csv."""
    rows = ([cell.text for cell in row] for row in table.rows)
    (ARCHIVE.parent / f"{name}_{table.name}.csv").write_text(csv_text([table.columns, *rows]), encoding="utf-8")


def write_picture(name: str, picture: Picture) -> str:
    """A figure as docs/arena/<grid>_<figure>.svg; returns how the page shows it."""
    file = f"{name}_{picture.name}"
    (ARCHIVE.parent / f"{file}.svg").write_text(as_file(svg(picture.figure, file)), encoding="utf-8")
    return f"![{picture.caption}](arena/{file}.svg)"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} and {len(list(ARCHIVE.parent.iterdir())) - 2} files beside it\n")
