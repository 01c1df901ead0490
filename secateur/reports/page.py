"""The page of a report: one HTML file with its pictures inside, which asks nothing of any network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from secateur.reports.collect import RunRecord
from secateur.reports.groups import criteria_of
from secateur.reports.tables import Cell, ReportTable
from secateur.utils.text import printable

#: Of the conclusions so many are read at once, and of a table that they come from so many rows.
MOST_SENTENCES, MOST_ROWS = 30, 40
TEMPLATE = Path(__file__).with_name("report.html")


def page(
    *,
    title: str,
    summary: str,
    command: str,
    rule: str,
    differences: Sequence[tuple[str, dict[str, list[RunRecord]]]],
    problems: Sequence[str],
    conclusions: Sequence[str],
    method: str,
    evidence: Sequence[ReportTable],
    tables: Sequence[ReportTable],
    pictures: Sequence[tuple[str, str, str]],
    left_out: str,
    groups: Sequence[ReportTable],
    runs: ReportTable,
    testers: Sequence[ReportTable],
    more_tables: int,
    place: Path,
) -> str:
    """Fill the template. `pictures` are (name, caption, SVG); links are relative to the folder `place`.

    `evidence` are the tables that the sentences of `conclusions` come from, by the `method` that a paragraph describes.
    `left_out` says of which groups there are no figures, "" where there are of all.
    """
    none = '<p class="faint">No finished training is among the runs.</p>'
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_text(title),
        summary=_text(summary),
        command=_repeat(command),
        rule=_paragraphs(rule),
        differences=_differences(differences),
        problems=_list("problems", "Could not be read", problems),
        conclusions=_conclusions(conclusions, method, evidence, place),
        tables="\n".join(_table(table, place) for table in tables) or none,
        figures="\n".join([_note(left_out), *(_figure(*picture, command) for picture in pictures)])
        if pictures
        else none,
        groups="\n".join(_table(table, place) for table in groups),
        runs=_table(runs, place),
        testers=_testers(testers, more_tables, place),
    )


def _text(text: str) -> str:
    """Text as HTML shows it, whatever it holds."""
    return escape(printable(text))


def _paragraphs(text: str) -> str:
    """Paragraphs, which empty lines part, to be put between `<p>` and `</p>`."""
    return "</p><p>".join(_text(" ".join(part.split())) for part in text.split("\n\n"))


def _note(text: str) -> str:
    return f'<p class="faint">{_text(text)}</p>' if text else ""


def _differences(found: Sequence[tuple[str, dict[str, list[RunRecord]]]]) -> str:
    """What differs, and behind each value its runs."""
    if not found:
        return ""
    items = []
    for what, values in found:
        runs = "".join(
            f"<li>{_text(value)} ({_text(criteria_of(runs))}) <details><summary>which</summary>"
            f"{_text(', '.join(run.name for run in runs))}</details></li>"
            for value, runs in values.items()
        )
        items.append(f"<li><strong>{_text(what)}</strong><ul>{runs}</ul></li>")
    heading = "These runs are compared, and differ in more than how they prune:"
    return f'<div class="warnings" role="note"><p>{heading}</p><ul>{"".join(items)}</ul></div>'


def _list(kind: str, heading: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f'<div class="{kind}"><p>{heading}:</p><ul>{items}</ul></div>'


def _conclusions(sentences: Sequence[str], method: str, tables: Sequence[ReportTable], place: Path) -> str:
    """What can be concluded: sentences, folded where they are many, and the tables that they come from."""
    if not tables:
        return _note("None: no two finished trainings can be compared.")
    items = [f"<li>{_text(sentence)}</li>" for sentence in sentences]
    first, rest = "".join(items[:MOST_SENTENCES]), "".join(items[MOST_SENTENCES:])
    more = f"<details><summary>{len(items) - MOST_SENTENCES} more</summary><ul>{rest}</ul></details>" if rest else ""
    how = f"<details><summary>How this is concluded</summary><p>{_paragraphs(method)}</p></details>"
    listed = f"<ul>{first}</ul>" if first else _note("None: there is no pair of runs of one seed.")
    return "\n".join([listed, more, how, *(_long_folded(table, place) for table in tables)])


def _long_folded(table: ReportTable, place: Path) -> str:
    """A table, of many rows behind its title."""
    rows = len(table.rows)
    shown = _table(table, place)
    if rows <= MOST_ROWS:
        return shown
    return f"<details><summary>{_text(table.title)}: {rows:,} rows</summary>{shown}</details>"


def _repeat(command: str) -> str:
    """The command that makes the page again; folded where it is long, as of many folders."""
    code = f"<code>{_text(command)}</code>"
    return f"Repeat: {code}" if len(command) < 200 else _folded_command(command)


def _folded_command(command: str) -> str:
    return f"<details><summary>Repeat</summary><code>{_text(command)}</code></details>"


def _figure(name: str, caption: str, svg: str, command: str) -> str:
    labelled = svg.replace("<svg ", f'<svg aria-label="{_text(caption)}" ', 1)
    return (
        f'<figure id="{_text(name)}"><div class="wide">{labelled}</div>'
        f'<figcaption>{_text(caption)} Files: <a href="{name}.svg">SVG</a>, <a href="{name}.pdf">PDF</a>.'
        f'<div class="faint">{_folded_command(command)}</div></figcaption></figure>'
    )


def _table(table: ReportTable, place: Path) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    body = "\n".join(f"<tr>{''.join(_cell(cell, place) for cell in row)}</tr>" for row in table.rows)
    file = f' <a href="{table.name}.csv">CSV</a>' if table.name else ""
    caption = f"<caption>{_text(table.title)}{file}</caption>"
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(cell: Cell, place: Path) -> str:
    text = _text(cell.text)
    if cell.link:
        text = f'<a href="{escape(quote(os.fsencode(os.path.relpath(cell.link, place))))}">{text}</a>'
    if cell.folded and cell.text:
        text = f"<details><summary>show</summary><code>{text}</code></details>"
    if cell.value is not None:
        return f'<td class="number" data-value="{cell.value!r}">{text}</td>'
    return f'<td class="text">{text}</td>' if len(cell.text) > 60 else f"<td>{text}</td>"


def _testers(tables: Sequence[ReportTable], more: int, place: Path) -> str:
    if not tables and not more:
        return ""
    shown = "".join(
        f"<details><summary>{_text(table.title)}</summary>{_table(table, place)}</details>" for table in tables
    )
    others = _note(f"{more:,} more tables are in the folders of the runs." if more else "")
    return f"<h2>Tables of the runs</h2>{shown}{others}"
