"""main.py --report, as a user calls it."""

import csv
import errno
import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote, unquote_to_bytes

import pytest

from tests.secateur.reports.conftest import make_run_folder  # noqa: F401

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and insists that every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.figures, self.links, self.scripts = [], 0, [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.figures += tag == "svg"
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        """Of an SVG, as `<path/>`."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(outcome):
    assert outcome.status == 0, outcome.err
    text = (outcome.folder / "report.html").read_text()
    return text, Page(text)


def test_a_report_is_one_page_with_its_pictures_and_tables(run, make_run_folder, tmp_path):  # noqa: F811
    fast = {f"latency{which}_ms_batch_{size}": time for which, time in (("", 1), ("_dense", 2)) for size in (1, 64)}
    for seed, accuracy in ((1, 0.5), (2, 0.7)):
        make_run_folder("SNIP", seed, accuracy, fast)
    hostile = make_run_folder("<script>alert(1)</script>", 1, 0.6, pruning_limit=0.98, epochs=7)
    (hostile / "output" / "compared.csv").write_text("network,accuracy\n<script>,0.1\n")
    broken = make_run_folder("GRASP", 1)
    (broken / "output" / "results.json").write_text("{")
    outcome = run(f"--report {tmp_path}/results --run_name mine")
    text, page = read(outcome)
    assert outcome.folder.name.endswith("_report_mine")
    assert "epochs in all differs: " in outcome.out
    assert f"warning: {broken}/output/results.json: " in outcome.out
    assert page.scripts == 1
    assert "<script>alert" not in text
    assert page.figures > 3
    assert not [link for link in page.links if re.match(r"\w+:|//", link)]
    assert all((outcome.folder / unquote(link)).exists() for link in page.links)
    assert "60.00 ± 14.14 (2)" in text
    assert f'<td class="number" data-value="{(0.5 + 0.7) / 2!r}">60.00 ± 14.14 (2)</td>' in text
    assert "<td>SNIP</td>" in text
    assert "No finished training" not in text
    captions = re.findall("<caption>([^<]*)", text)
    assert [caption.strip() for caption in captions] == [
        "accuracy, and its difference to the dense network of the same seed",
        "accuracy [%]", "time of testing the whole set [s]", "latency of 1 image [ms]", "latency of 64 images [ms]",
        "effective FLOPs of an image [millions]", "mean ± standard deviation (number of runs)", "all runs",
        f"{hostile.name}/output/compared.csv".replace("<", "&lt;").replace(">", "&gt;"),
    ]  # fmt: skip
    layers = list(csv.DictReader((outcome.folder / "layers.csv").read_text().splitlines()))
    assert [(row["criterion"], row["layer"], row["weights kept [%]"]) for row in layers][-2:] == [
        ("SNIP", "first", "10.000 ± 0.000 (2)"),
        ("SNIP", "last", "10.000 ± 0.000 (2)"),
    ]
    assert "--report" in text
    names = {path.stem for path in outcome.folder.glob("*.svg")}
    assert {"accuracy_by_compression", "flops_by_compression", "pareto_speed"} <= names
    assert names == {path.stem for path in outcome.folder.glob("*.pdf")}
    assert len(names) == page.figures
    assert "accuracy_by_nodes" not in names  # nothing was pruned of them
    assert "testing_time_by_compression" not in names  # all took the same time
    rows = list(csv.DictReader((outcome.folder / "accuracy.csv").read_text().splitlines()))
    assert [row["compression"] for row in rows] == ["10x", "50x"]
    assert rows[0]["SNIP"] == "60.00 ± 14.14 (2)"
    again = run(f"--report {tmp_path}/results --run_name mine").folder
    assert again != outcome.folder
    written = [path.name for path in outcome.folder.iterdir() if path.suffix in (".html", ".csv", ".txt")]
    assert len(written) > 5
    assert [name for name in written if (again / name).read_bytes() != (outcome.folder / name).read_bytes()] == []


def test_a_report_survives_any_folder_and_names_each_in_one_line(run, make_run_folder, tmp_path):  # noqa: F811
    hostile = "\x1b[2J\u202e$\\frac$=&"
    for number in (1, 2):
        layers = {f"first{hostile}": 0.5, "last": -0.1}
        folder = make_run_folder("=SNIP", number, results={"layer_densities": layers}, model=f"Net{hostile}")
        (folder / "output" / "table.csv").write_text("layer,change\n\x1b[31m=1+1,-0.5\n")
        (folder / "models").mkdir()
        (folder / "models" / "Net_finished.safetensors").write_bytes(b"no tensors")
        folder.rename(f"{folder}\x1b]0;\udcff")
    damaged = [make_run_folder("GRASP", number) for number in range(6)]
    (damaged[0] / "output" / "results.json").write_text('{"layer_densities": {"a": "b"}}')
    (damaged[1] / "output" / "log.txt").unlink()
    os.mkfifo(damaged[1] / "output" / "log.txt")
    (damaged[1] / "output" / "results.json").unlink()
    (damaged[2] / "output" / "metrics.csv").unlink()
    os.mkfifo(damaged[2] / "output" / "metrics.csv")
    (damaged[3] / "output" / "calling_command.txt").unlink()
    (damaged[3] / "output" / "calling_command.txt").mkdir()
    os.mkfifo(damaged[4] / "output" / "more.csv")
    (damaged[5] / "output" / "arguments.json").write_text('{"prune_criterion": []}')
    outcome = run(f"--report {tmp_path}/results")
    text, page = read(outcome)
    assert all(outcome.out.count(f"warning: {folder}/") == 1 for folder in damaged)
    assert "2 finished" in outcome.out
    assert "6 damaged" in outcome.out
    assert "Net_finished.safetensors: " in text  # whose weights are in no figure
    assert {letter for letter in outcome.out + text if not letter.isprintable()} == {"\n"}
    assert all((outcome.folder / os.fsdecode(unquote_to_bytes(link))).exists() for link in page.links)
    with (outcome.folder / "accuracy.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert [*row][2:] == ["'=SNIP"]
    assert row["network"].startswith(r"Net\x1b[2J\u202e")
    assert b"\x1b" not in b"".join(path.read_bytes() for path in outcome.folder.glob("*.csv"))


def test_a_page_shows_what_a_person_can_look_at_and_the_files_have_all(run, make_run_folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("secateur.reports.panels.MOST_PANELS", 2)
    monkeypatch.setattr("secateur.reports.panels.MOST_LINES", 3)
    monkeypatch.setattr("secateur.reports.tables.MOST_CELLS", 10)
    for number in range(5):
        for criterion in ("SNIP", "GRASP"):
            folder = make_run_folder(criterion, 1, model=f"Net{number}", snip_steps=1)
            make_run_folder(criterion, 1, model=f"Net{number}", snip_steps=2)
            (folder / "output" / "table.csv").write_text("a,b\n1,2\n3,4\n")
    outcome = run(f"--report {tmp_path}/results")
    text, _ = read(outcome)
    assert len(list(outcome.folder.glob("layers_*.svg"))) == 2
    assert "2 of 5 networks and data, 3 of 4 lines" in text
    assert "8 more tables are in the folders of the runs" in text
    for name, number in (("accuracy", 5), ("groups", 20), ("runs", 20)):
        with (outcome.folder / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == number
        assert name != "accuracy" or len(rows[0]) == 2 + 4


def test_wrong_reports_are_one_line(run, tmp_path):
    for command, line in (
        (f"--report {tmp_path}", "no run folder"),
        (f"--report {tmp_path}/none", "there is no such folder"),
        (f"--report {tmp_path} --epochs 3", "leave out --epochs"),
    ):
        outcome = run(command)
        assert outcome.status == 2
        assert line in outcome.err
        assert outcome.err.count("\n") == 1
        assert outcome.folder is None


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_report_that_cannot_be_finished_leaves_nothing(run, make_run_folder, tmp_path, monkeypatch, error):  # noqa: F811
    make_run_folder("SNIP", 1, 0.5)

    def full(path, content):
        raise error

    monkeypatch.setattr("secateur.reports.write.write_atomically", full)
    before = set((tmp_path / "results").iterdir())
    outcome = run(f"--report {tmp_path}/results")
    assert outcome.err in (
        f"error: --results_dir {tmp_path}/results: no report can be made there: No space left on device\n",
        "interrupted\n",
    )
    assert set((tmp_path / "results").iterdir()) == before
