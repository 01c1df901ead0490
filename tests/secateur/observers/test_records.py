"""The files of figures that a run leaves."""

import csv
from types import SimpleNamespace

from secateur.observers.records import Records
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
