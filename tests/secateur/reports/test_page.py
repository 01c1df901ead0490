"""The page of a report, letter by letter."""

from pathlib import Path

import pytest

from secateur.reports import page as module
from secateur.reports.collect import RunRecord
from secateur.reports.tables import Cell, ReportTable

FIELDS = (
    *("title", "summary", "command", "rule", "differences", "problems", "conclusions", "tables", "figures", "groups"),
    *("runs", "testers"),
)
NO_TRAINING = '<p class="faint">No finished training is among the runs.</p>'


@pytest.fixture
def fields(tmp_path, monkeypatch):
    """Make a page of nothing but what is named; returns what is put in the place of each name in the template."""
    monkeypatch.setattr(module, "TEMPLATE", tmp_path / "template.html")
    (tmp_path / "template.html").write_text("@".join(f"${name}" for name in FIELDS))
    nothing = dict.fromkeys(("title", "summary", "command", "rule", "method", "left_out"), "")
    nothing |= {name: [] for name in ("differences", "problems", "conclusions", "evidence", "tables", "pictures")}
    nothing |= {"groups": [], "runs": table("runs"), "testers": [], "more_tables": 0, "place": tmp_path / "report"}
    return lambda **given: dict(zip(FIELDS, module.page(**nothing | given).split("@"), strict=True))


def table(name, rows=()):
    """A table of one column."""
    return ReportTable(name, f"of {name}", ["a"], rows)


def shown(name, rows=""):
    file = f' <a href="{name}.csv">CSV</a>' if name else ""
    return (
        f'<div class="wide"><table><caption>of {name}{file}</caption><thead><tr><th>a</th></tr></thead><tbody>\n'
        f"{rows}\n</tbody></table></div>"
    )


def test_each_part_of_the_page_stands_in_its_place(fields):
    found = fields(
        title="<Report>",
        summary="3 & 4 runs.",
        command="python3 main.py",
        rule="One\n<more>.\n\nTwo.",
        problems=["a<b", "c"],
        tables=[table("first"), table("second")],
        groups=[table("groups")],
        testers=[table("")],
        more_tables=1234,
    )
    assert found == {
        "title": "&lt;Report&gt;",
        "summary": "3 &amp; 4 runs.",
        "command": "Repeat: <code>python3 main.py</code>",
        "rule": "One &lt;more&gt;.</p><p>Two.",
        "differences": "",
        "problems": '<div class="problems"><p>Could not be read:</p><ul><li>a&lt;b</li><li>c</li></ul></div>',
        "conclusions": '<p class="faint">None: no two finished trainings can be compared.</p>',
        "tables": f"{shown('first')}\n{shown('second')}",
        "figures": NO_TRAINING,
        "groups": shown("groups"),
        "runs": shown("runs"),
        "testers": f"<h2>Tables of the runs</h2><details><summary>of </summary>{shown('')}</details>"
        '<p class="faint">1,234 more tables are in the folders of the runs.</p>',
    }


def test_of_nothing_there_is_nothing_on_the_page(fields):
    found = fields()
    assert {name for name, text in found.items() if text} == {"command", "conclusions", "tables", "figures", "runs"}
    assert (found["tables"], found["figures"]) == (NO_TRAINING, NO_TRAINING)


def test_tables_of_testers_have_a_heading_with_or_without_further_ones(fields):
    assert fields(testers=[table("")])["testers"] == (
        f"<h2>Tables of the runs</h2><details><summary>of </summary>{shown('')}</details>"
    )
    assert fields(more_tables=2)["testers"] == (
        '<h2>Tables of the runs</h2><p class="faint">2 more tables are in the folders of the runs.</p>'
    )


def test_what_differs_is_listed_with_the_runs_behind_each_value(fields):
    runs = [RunRecord(Path(name), {"prune_criterion": name[:4]}) for name in ("SNIP_1", "SNIP_2", "CNIP_<")]
    found = fields(differences=[("Net: epochs", {"2": runs[:2], "<4": runs[2:]}), ("Net: N", {"1": runs[:1]})])
    assert found["differences"] == (
        '<div class="warnings" role="note"><p>These runs are compared, and differ in more than how they prune:</p><ul>'
        "<li><strong>Net: epochs</strong><ul>"
        "<li>2 (2 runs: SNIP) <details><summary>which</summary>SNIP_1, SNIP_2</details></li>"
        "<li>&lt;4 (1 run: CNIP) <details><summary>which</summary>CNIP_&lt;</details></li></ul></li>"
        "<li><strong>Net: N</strong><ul>"
        "<li>1 (1 run: SNIP) <details><summary>which</summary>SNIP_1</details></li></ul></li></ul></div>"
    )


def test_of_more_than_30_conclusions_the_others_are_folded(fields):
    how = "<details><summary>How this is concluded</summary><p>by &lt;t&gt; and u</p></details>"

    def concluded(number):
        sentences = [f"s{one}" for one in range(number)]
        return fields(conclusions=sentences, method="by <t>\nand u", evidence=[table("pairs")])["conclusions"]

    def items(numbers):
        return "".join(f"<li>s{one}</li>" for one in numbers)

    assert concluded(30) == f"<ul>{items(range(30))}</ul>\n\n{how}\n{shown('pairs')}"
    assert concluded(32) == (
        f"<ul>{items(range(30))}</ul>\n<details><summary>2 more</summary><ul>{items((30, 31))}</ul></details>\n"
        f"{how}\n{shown('pairs')}"
    )
    assert concluded(0) == (
        f'<p class="faint">None: there is no pair of runs of one seed.</p>\n\n{how}\n{shown("pairs")}'
    )


def test_a_table_of_more_than_40_rows_is_folded_behind_its_title(fields):
    def evidence(number):
        found = fields(evidence=[table("pairs", [[Cell("x")]] * number)])["conclusions"]
        return found.split("</details>\n", 1)[1]

    rows = "\n".join(["<tr><td>x</td></tr>"] * 40)
    assert evidence(40) == shown("pairs", rows)
    assert evidence(41) == (
        f"<details><summary>of pairs: 41 rows</summary>{shown('pairs', rows + chr(10) + '<tr><td>x</td></tr>')}"
        "</details>"
    )


@pytest.mark.parametrize(("length", "folded"), [(199, False), (200, True), (250, True)])
def test_a_command_of_200_letters_is_folded(fields, length, folded):
    code = f"<code>{'<' + 'x' * (length - 1)}</code>".replace("<x", "&lt;x")
    wanted = f"<details><summary>Repeat</summary>{code}</details>" if folded else f"Repeat: {code}"
    assert fields(command="<" + "x" * (length - 1))["command"] == wanted


def test_a_figure_has_its_caption_its_files_and_the_command(fields):
    pictures = [("one", "A & b.", '<svg a="1"><svg b="2"/></svg>'), ("two", "C.", "<svg />")]
    found = fields(pictures=pictures, left_out="12 of 13 <lines>", command="main.py &")["figures"]
    repeat = '<div class="faint"><details><summary>Repeat</summary><code>main.py &amp;</code></details></div>'
    assert found.split("\n") == [
        '<p class="faint">12 of 13 &lt;lines&gt;</p>',
        '<figure id="one"><div class="wide"><svg aria-label="A &amp; b." a="1"><svg b="2"/></svg></div><figcaption>'
        f'A &amp; b. Files: <a href="one.svg">SVG</a>, <a href="one.pdf">PDF</a>.{repeat}</figcaption></figure>',
        '<figure id="two"><div class="wide"><svg aria-label="C." /></div><figcaption>'
        f'C. Files: <a href="two.svg">SVG</a>, <a href="two.pdf">PDF</a>.{repeat}</figcaption></figure>',
    ]
    assert fields(pictures=pictures)["figures"].startswith('\n<figure id="one">')


def test_cells_are_numbers_links_folded_or_text(fields, tmp_path):
    rows = [
        [Cell("<x>"), Cell("1.50", 1.5)],
        [Cell("y" * 60), Cell("z" * 61)],
        [Cell("run", link=tmp_path / "a <b"), Cell("cmd", folded=True)],
        [Cell("", folded=True), Cell("0", 0.0)],
    ]
    found = fields(runs=ReportTable("runs", "all <runs>", ["a&b", "c"], rows))["runs"]
    assert found == (
        '<div class="wide"><table><caption>all &lt;runs&gt; <a href="runs.csv">CSV</a></caption>'
        "<thead><tr><th>a&amp;b</th><th>c</th></tr></thead><tbody>\n"
        '<tr><td>&lt;x&gt;</td><td class="number" data-value="1.5">1.50</td></tr>\n'
        f'<tr><td>{"y" * 60}</td><td class="text">{"z" * 61}</td></tr>\n'
        '<tr><td><a href="../a%20%3Cb">run</a></td>'
        "<td><details><summary>show</summary><code>cmd</code></details></td></tr>\n"
        '<tr><td></td><td class="number" data-value="0.0">0</td></tr>\n'
        "</tbody></table></div>"
    )
