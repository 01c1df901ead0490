"""Makes a report: reads the runs, compares, draws, and writes page, tables and figures into a folder of its own."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from secateur.config.settings import Settings
from secateur.reports import groups as rules
from secateur.reports.collect import collect
from secateur.reports.conclusions import METHOD, conclude
from secateur.reports.figures import draw
from secateur.reports.groups import criteria_of, differences, group
from secateur.reports.measures import Measure, time_to
from secateur.reports.page import page
from secateur.reports.panels import Picture, most_run
from secateur.reports.rank_figure import rank_pictures
from secateur.reports.svg import as_file, svg
from secateur.reports.tables import COMPARED, ReportTable, all_groups, all_runs, compared, layers, of_testers
from secateur.runs.failures import disk_reason, is_disk_error
from secateur.runs.files import make_new_folder, write_atomically
from secateur.utils.errors import UserError
from secateur.utils.text import csv_text, printable

#: The flags that a report reads.
READ = {"report", "results_dir", "run_name", "time_to_accuracy"}


def report(settings: Settings, argv: Sequence[str]) -> list[str]:
    """Report on `--report`; returns the lines to tell: what was found, what differs, where the page is.

    Raises `UserError` for flags that have no say in it, and where there is nothing to report.
    """
    if others := sorted(settings.given - READ):
        raise UserError(f"--report only reads runs: leave out --{others[0]}")
    places, accuracy = settings["report"], settings["time_to_accuracy"]
    more = [] if accuracy is None else [time_to(accuracy)]
    return write_report(places, settings["results_dir"], settings["run_name"], argv, more)


def write_report(
    places: Sequence[Path], results_dir: Path, run_name: str, argv: Sequence[str], more: Sequence[Measure] = ()
) -> list[str]:
    """Write `<results_dir>/<date>_<time>_report[_<run_name>]/report.html`, with tables and figures beside it.

    `argv` is the command line that repeats it, without `python3 main.py`; `more` are measures of its tables beside the
    usual ones. Returns the lines to tell.
    """
    runs, problems = collect(places)
    everything = group(runs)
    groups = [one for one in everything if not one.control]
    if lost := sum(run.trained for run in runs) - sum(len(one.runs) for one in everything):
        problems.append(f"{lost} controls of runs that are not there are in the table of runs alone")
    differing = differences(groups)
    with _folder_of_its_own(results_dir, run_name) as folder:
        shown, left_out = most_run(groups)
        tables = [table for measure in COMPARED if (table := compared(groups, measure))]
        of_groups = [all_groups(everything, more), layers(everything)] if everything else []
        of_runs = all_runs(runs, more)
        testers, more_tables = of_testers(runs)
        sentences, compared_tables, ranked = conclude(everything, shown)
        if sentences:
            write_atomically(folder / "conclusions.txt", "".join(f"{line}\n" for line in (*sentences, "", METHOD)))
        for table in (*compared_tables, *tables, *of_groups, of_runs):
            _write_csv(folder, table)
        counts = Counter("tests" if run.outcome == "test" else run.outcome for run in runs)
        summary = f"{len(runs)} runs ({', '.join(f'{number} {status}' for status, number in counts.items())}), "
        summary += f"{len(groups)} groups of runs that differ in their seed alone"
        content = page(
            title="Report" + (f": {run_name}" if run_name else ""),
            summary=f"{summary}.",
            command=shlex.join(["python3", "main.py", *argv]),
            rule=(rules.__doc__ or "").partition("How groups are formed. ")[2],
            differences=differing,
            problems=problems,
            conclusions=sentences,
            method=METHOD,
            evidence=compared_tables,
            tables=[table for measure in COMPARED if (table := compared(shown, measure))] if left_out else tables,
            pictures=[_write_picture(folder, one) for one in (*rank_pictures(ranked), *draw(shown, problems))],
            left_out=left_out,
            groups=of_groups[:1],
            runs=of_runs,
            testers=testers,
            more_tables=more_tables,
            place=folder,
        )
        write_atomically(folder / "report.html", content)
    lines = [summary]
    for what, values in differing:
        told = "; ".join(f"{value} ({criteria_of(which)})" for value, which in values.items())
        lines.append(f"warning: {what} differs: {told}")
    lines += [f"warning: {problem}" for problem in problems]
    lines += [f"{run.status}: {run.folder}: {run.reason}" for run in runs if run.status in ("failed", "incomplete")]
    if sentences:
        lines.append(f"{len(sentences)} conclusions: {folder / 'conclusions.txt'}")
    return [printable(line) for line in (*lines, f"report: {folder / 'report.html'}")]


@contextlib.contextmanager
def _folder_of_its_own(results_dir: Path, run_name: str) -> Iterator[Path]:
    """Make the folder of a report; of one that is not finished nothing is left."""
    folder = None
    try:
        folder = make_new_folder(results_dir, "_".join(filter(None, ("report", run_name))))
        yield folder
    except BaseException as error:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if is_disk_error(error) or (folder is None and isinstance(error, OSError)):
            raise UserError(
                f"--results_dir {results_dir}: no report can be made there: {disk_reason(error)}"
            ) from error
        raise


def _write_csv(folder: Path, table: ReportTable) -> None:
    rows = ([cell.text for cell in row] for row in table.rows)
    write_atomically(folder / f"{table.name}.csv", csv_text([table.columns, *rows]))


def _write_picture(folder: Path, picture: Picture) -> tuple[str, str, str]:
    """Save a figure as SVG and PDF; returns its name, its caption and the SVG for the page."""
    inline, pdf = svg(picture.figure, picture.name), io.BytesIO()
    picture.figure.set_layout_engine("none")  # as it is laid out by now
    picture.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    write_atomically(folder / f"{picture.name}.svg", as_file(inline))
    write_atomically(folder / f"{picture.name}.pdf", pdf.getvalue())
    return picture.name, picture.caption, inline
