"""The files of figures that a run leaves."""

import csv
import shutil
from types import SimpleNamespace

import pytest

from secateur.observers.records import Records
from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError
from secateur.utils.tables import Table


def test_text_of_a_table_is_no_formula_and_numbers_stay_as_they_are(tmp_path):
    rows = [{"class": "=cmd|' /C calc'!A0", "change": -0.5, "of": "-1e-3"}, {"class": "\x1b[31m@x", "of": "+"}]
    run = SimpleNamespace(folder=SimpleNamespace(output=tmp_path))
    Records().table_created(run, Table("mine", "a table", rows))
    Records().epoch_finished(run, {"epoch": 1, "train_loss": -0.25, "test_loss": None})
    with (tmp_path / "mine.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["class", "change", "of"],
            ["'=cmd|' /C calc'!A0", "-0.5", "-1e-3"],
            [r"\x1b[31m@x", "", "'+"],
        ]
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch,train_loss,test_loss\r\n1,-0.25,\r\n"


def test_on_resuming_the_file_holds_the_rows_of_the_state_and_no_later_ones(tmp_path):
    run = SimpleNamespace(folder=SimpleNamespace(output=tmp_path, path=tmp_path))
    before = Records()
    state = {}
    before.epoch_finished(run, {"epoch": 1})
    before.on_save_state(state)
    before.epoch_finished(run, {"epoch": 2})
    again = Records()
    again.run_resumed(run, state)
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch\r\n1\r\n"
    again.epoch_finished(run, {"epoch": 2})
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch\r\n1\r\n2\r\n"


def test_at_the_end_rows_that_could_not_be_written_are(tmp_path):
    output = tmp_path / "deeper" / "output"
    run = SimpleNamespace(folder=SimpleNamespace(output=output, path=tmp_path))
    records = Records()
    records.epoch_finished(run, {"epoch": 1})
    shutil.rmtree(tmp_path / "deeper")  # which is made again
    records.written = 0
    records.run_finished(run, {"a": 0.5})
    assert (output / "metrics.csv").read_bytes() == b"epoch\r\n1\r\n"
    assert read_checksummed(output / "results.json") == {"a": 0.5}


def test_a_state_without_rows_is_refused_and_one_of_no_epoch_leaves_no_file(tmp_path):
    run = SimpleNamespace(folder=SimpleNamespace(output=tmp_path, path="results/x"))
    for state in ({}, {"Records": b"epoch"}):
        with pytest.raises(UserError) as caught:
            Records().run_resumed(run, state)
        assert str(caught.value) == "--resume: the state of results/x holds no rows of metrics.csv"
    records = Records()
    records.run_resumed(run, {"Records": ""})
    assert list(tmp_path.iterdir()) == []
    records.epoch_finished(run, {"epoch": 1})
    assert (tmp_path / "metrics.csv").read_bytes() == b"epoch\r\n1\r\n"
