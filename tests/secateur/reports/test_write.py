"""What a report tells, and what it writes."""

import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from secateur.config.settings import Settings
from secateur.reports import write
from secateur.reports.conclusions import METHOD
from secateur.reports.measures import ACCURACY
from secateur.reports.panels import Picture
from secateur.utils.errors import UserError


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Report on the runs below results/, without figures; returns lines, folder and what the page is made of."""
    given = {}
    make = write.page
    monkeypatch.setattr(write, "draw", lambda groups, problems: problems.append("a problem of drawing") or [])
    monkeypatch.setattr(write, "page", lambda **parts: given.update(parts) or make(**parts))

    def report(run_name="", argv=("--report", "a b"), more=()):
        given.clear()
        lines = write.write_report([tmp_path / "results"], tmp_path / "reports", run_name, argv, more)
        folder = Path(lines[-1].removeprefix("report: ")).parent
        return lines, folder, given

    return report


def test_a_report_tells_what_it_found_in_order(told, make_run_folder):
    for seed in (1, 2):
        make_run_folder("SNIP", seed, 0.5 + 0.1 * seed)
    make_run_folder("CNIP", 1, epochs=7, learning_rate=0.1)
    make_run_folder("CNIP", 1, eval=True)
    make_run_folder("Narrower", 1, control="same_flops", control_of="_ffffffff")
    failed, going, damaged = (make_run_folder("GRASP", seed) for seed in (3, 4, 5))
    for folder in (failed, going):
        (folder / "output" / "results.json").unlink()
    (failed / "output" / "log.txt").write_text("a\n12:01 ended by E\n")
    (damaged / "output" / "results.json").write_text("[]")
    lines, folder, page = told()
    summary = (
        "8 runs (1 finished, 1 tests, 1 failed, 1 incomplete, 1 damaged), 2 groups of runs that differ in their seed "
        "alone"
    ).replace("1 finished", "4 finished")
    problems = [
        f"{damaged / 'output' / 'results.json'}: it holds no dictionary but list",
        "1 controls of runs that are not there are in the table of runs alone",
        "a problem of drawing",
    ]
    assert sorted(lines[0].partition(" (")[2].partition(")")[0].split(", ")) == [
        "1 damaged", "1 failed", "1 incomplete", "1 tests", "4 finished",
    ]  # fmt: skip
    assert lines[1:] == [
        "warning: LeNet300 on DIGITS: epochs in all differs: 7 (1 run: CNIP); 2 (2 runs: SNIP)",
        "warning: LeNet300 on DIGITS: learning rate differs: 0.1 (1 run: CNIP); 0.002 (2 runs: SNIP)",
        *(f"warning: {problem}" for problem in problems),
        f"failed: {failed}: 12:01 ended by E",
        f"incomplete: {going}: still going, or killed; 2026-01-01 the run begins",
        f"2 conclusions: {folder / 'conclusions.txt'}",
        f"report: {folder / 'report.html'}",
    ]
    assert lines[0].partition(" (")[0] == summary.partition(" (")[0]
    assert lines[0].partition(")")[2] == summary.partition(")")[2]
    assert page["summary"] == f"{lines[0]}."
    assert page["problems"] == problems
    assert (folder / "conclusions.txt").read_text() == "\n".join([*page["conclusions"], "", METHOD, ""])
    assert sorted(path.name for path in folder.iterdir()) == [
        *("accuracy.csv", "against_dense.csv", "conclusions.txt", "flops.csv", "groups.csv", "layers.csv", "pairs.csv"),
        *("report.html", "runs.csv", "testing_time.csv"),
    ]
    assert (folder / "accuracy.csv").read_bytes().decode() == (
        "network,compression,CNIP,SNIP\r\nLeNet300 on DIGITS,10x,50.00 (1),65.00 ± 7.07 (2)\r\n"
    )


def test_the_page_is_given_all_that_was_found(told, make_run_folder):
    make_run_folder("SNIP", 1)
    make_run_folder("CNIP", 1)
    _, folder, page = told("mine", more=[ACCURACY])
    assert folder.name.endswith("_report_mine")
    assert (page["title"], page["command"]) == ("Report: mine", "python3 main.py --report 'a b'")
    assert page["rule"].startswith("A setting counts if it can change the network that comes out: ")
    assert [table.name for table in page["tables"]] == ["accuracy", "testing_time", "flops"]
    assert [table.name for table in page["groups"]] == ["groups"]
    assert [table.name for table in page["evidence"]] == ["against_dense", "pairs"]
    assert (page["runs"].name, len(page["runs"].rows), page["place"]) == ("runs", 2, folder)
    assert page["runs"].columns.count("accuracy [%]") == 2
    assert (page["method"], page["left_out"], page["testers"], page["more_tables"]) == (METHOD, "", [], 0)
    _, folder, page = told()
    assert folder.name.endswith("_report")
    assert page["title"] == "Report"


def test_without_a_finished_training_there_is_no_conclusion(told, make_run_folder):
    make_run_folder("SNIP", 1, eval=True)
    lines, folder, page = told()
    assert lines == [
        "1 runs (1 tests), 0 groups of runs that differ in their seed alone",
        "warning: a problem of drawing",
        f"report: {folder / 'report.html'}",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "runs.csv"]
    assert (page["groups"], page["tables"]) == ([], [])


def test_of_many_lines_the_page_shows_some_and_the_files_all(told, make_run_folder, monkeypatch):
    monkeypatch.setattr("secateur.reports.panels.MOST_PANELS", 1)
    for model in ("One", "Two"):
        make_run_folder("SNIP", 1, model=model)
    _, folder, page = told()
    assert [len(table.rows) for table in page["tables"]] == [1, 1, 1]
    assert len((folder / "accuracy.csv").read_text().splitlines()) == 3
    assert page["left_out"].startswith("Shown are the groups of the most runs: 1 of 2 networks and data, 1 of 1 lines.")


def test_a_picture_is_saved_as_svg_and_pdf_without_a_date(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    name, caption, inline = write._write_picture(tmp_path, Picture("one", "Caption.", figure))
    assert (name, caption, inline[:4]) == ("one", "Caption.", "<svg")
    assert "<style>" not in inline
    assert (tmp_path / "one.svg").read_text().count("<style>") == 1
    pdf = (tmp_path / "one.pdf").read_bytes()
    assert (pdf[:5], b"CreationDate" in pdf) == (b"%PDF-", False)


def settings(given, accuracy=None):
    values = {"report": [Path("a")], "results_dir": Path("b"), "run_name": "c", "time_to_accuracy": accuracy}
    return Settings(values, frozenset(given), {})


def test_the_first_flag_of_the_alphabet_that_a_report_does_not_read_is_named():
    with pytest.raises(UserError) as caught:
        write.report(settings(["report", "seed", "epochs", "model", "lr", "zoo", "batch_size", "data_set"]), [])
    assert str(caught.value) == "--report only reads runs: leave out --batch_size"


@pytest.mark.parametrize("accuracy", [None, 0.75])
def test_the_flags_of_a_report_are_passed_on(monkeypatch, accuracy):
    passed = []
    monkeypatch.setattr(write, "write_report", lambda *arguments: passed.extend(arguments))
    write.report(settings(["report", "results_dir", "run_name", "time_to_accuracy"], accuracy), ["--x"])
    assert passed[:4] == [[Path("a")], Path("b"), "c", ["--x"]]
    assert [one.label for one in passed[4]] == ([] if accuracy is None else ["time to 75 % accuracy [s]"])


def test_where_no_folder_can_be_made_the_flag_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught, write._folder_of_its_own(tmp_path / "file", ""):
        pass
    assert str(caught.value) == f"--results_dir {tmp_path / 'file'}: no report can be made there: File exists"


@pytest.mark.parametrize("error", [OSError("odd"), KeyError("odd")])
def test_other_errors_stay_what_they_are_and_leave_nothing(tmp_path, error):
    def fail():
        with write._folder_of_its_own(tmp_path, "") as folder:
            (folder / "file").touch()
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_already_hides_no_error(tmp_path):
    def fail():
        with write._folder_of_its_own(tmp_path, "") as folder:
            shutil.rmtree(folder)
            raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        fail()
