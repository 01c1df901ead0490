"""Makes docs/arena.md, its tables and its figures from the runs in docs/arena/runs.tar.xz: the same bytes each time.

    python3 benchmarks/arena.py

docs/arena/page.txt is the page without what comes from the runs. There `$arena_mnist` stands for the results of that
grid, `$arena_mnist_tuning` for its trials, `$arena_mnist_flops` for its methods at equal training FLOPs, beside those
of equal epochs, and `$arena_mnist_controls` for controls. After the grids have run,
`python3 benchmarks/arena_archive.py gitignored/results` packs them anew.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.arena_archive import ARCHIVE, ROOT, unpack
from benchmarks.arena_tables import at_equal_flops, of_controls, of_panel, tuning
from secateur.reports.collect import RunRecord, collect
from secateur.reports.comparisons import against_dense, controls
from secateur.reports.conclusions import METHOD, conclude
from secateur.reports.figures import draw
from secateur.reports.groups import Group, group
from secateur.reports.panels import Picture
from secateur.reports.rank_figure import rank_pictures
from secateur.reports.svg import as_file, svg
from secateur.reports.tables import ReportTable, all_groups, all_runs
from secateur.utils.text import csv_text

PAGE, TEXT = ROOT / "docs" / "arena.md", ROOT / "docs" / "arena" / "page.txt"
#: Of the figures of a report, those on the page; the others a report shows.
FIGURES = ("accuracy_by_compression", "accuracy_by_flops")
#: The lines of docs/arena/overview.svg, which README shows: those of its table, and the dense network.
OVERVIEW = ("EmptyCrit", "GradualMagnitude", "SynFlow", "Magnitude", "SNIP", "UnstructuredRandom")
#: How many runs a recipe says that it has, and with their controls.
PLANNED = re.compile(r"^# (\d+) runs[^,:]*(?:, (\d+) with their controls)?:", re.MULTILINE)


def main() -> None:
    """Write the page and what belongs to it."""
    for old in (path for path in ARCHIVE.parent.iterdir() if path.suffix in (".csv", ".svg")):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        grids = sorted(Path(folder).iterdir())
        parts = {grid.name.removeprefix("grid_"): grid for grid in grids}
        texts = {name: "\n".join(part(name, parts)) for name in parts}
        texts |= facts([run for grid in grids for run in collect([grid])[0]])
        write_overview(group(runs_of(parts["arena_mnist"])))
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


def part(name: str, grids: dict[str, Path]) -> Iterator[str]:
    """The lines of the page on one grid: a table of trials, or how much has run, tables, conclusions and figures."""
    runs = runs_of(grids[name])
    if name.endswith("_tuning"):
        yield tuning(runs)
        return
    groups = group(runs)
    methods = [one for one in groups if not one.control]
    sentences, tables, ranked = conclude(groups, methods)
    found = against_dense(methods)
    recipe = (ROOT / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    planned = PLANNED.search(recipe)
    yield f"{len(runs)} of the {planned[2] or planned[1]} runs of the grid have finished.\n"
    pictures = [*rank_pictures(ranked)]
    if name.endswith("_controls"):
        yield of_controls(controls(groups, found)) + "\n"
        sentences, pictures = [one for one in sentences if "beside its controls" in one], []
    elif name.endswith("_flops"):
        same = name.removesuffix("_flops")
        yield at_equal_flops(groups, found, ranked, group(runs_of(grids[same])) if same in grids else []) + "\n"
    else:
        for panel in dict.fromkeys(one.panel for one in groups):
            yield (
                of_panel(
                    [one for one in groups if one.panel == panel],
                    [one for one in found if one.group.panel == panel],
                    [one for one in ranked if one.scope.name == panel],
                )
                + "\n"
            )
        pictures += drawn(groups)
    tables = [*tables, all_groups(groups), all_runs(runs)]
    for table in tables:
        write_table(name, table)
    files = ", ".join(f"[{table.name.replace('runs', 'all runs')}](arena/{name}_{table.name}.csv)" for table in tables)
    yield f"Tables in full: {files}.\n"
    # What is said of the dense network stands in the table.
    said = [one for one in sentences if "against the dense network" not in one]
    yield "\n".join(f"- {sentence}" for sentence in said) + "\n"
    for picture in pictures:
        yield write_picture(name, picture) + "\n"


def runs_of(grid: Path) -> list[RunRecord]:
    """The runs of a grid, none of them damaged."""
    runs, problems = collect([grid])
    if problems:
        raise SystemExit("\n".join(problems))
    return runs


def drawn(groups: Sequence[Group]) -> Iterator[Picture]:
    """The figures of the page; the others, which come behind them, are not drawn."""
    left = set(FIGURES)
    for picture in draw(groups, []):
        if picture.name in left:
            yield picture
            left.remove(picture.name)
        if not left:
            return


def write_overview(groups: Sequence[Group]) -> None:
    """Accuracy by compression of few criteria, as docs/arena/overview.svg."""
    picture = next(drawn([one for one in groups if one.line in OVERVIEW]))
    (ARCHIVE.parent / "overview.svg").write_text(as_file(svg(picture.figure, "overview")), encoding="utf-8")


def write_table(name: str, table: ReportTable) -> None:
    """A table as docs/arena/<grid>_<table>.csv."""
    rows = ([cell.text for cell in row] for row in table.rows)
    (ARCHIVE.parent / f"{name}_{table.name}.csv").write_text(csv_text([table.columns, *rows]), encoding="utf-8")


def write_picture(name: str, picture: Picture) -> str:
    """A figure as docs/arena/<grid>_<figure>.svg; returns how the page shows it."""
    file = f"{name}_{picture.name}"
    (ARCHIVE.parent / f"{file}.svg").write_text(as_file(svg(picture.figure, file)), encoding="utf-8")
    return f"![{picture.caption}](arena/{file}.svg)"


if __name__ == "__main__":
    main()
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} and {len(list(ARCHIVE.parent.iterdir())) - 2} files beside it\n")
