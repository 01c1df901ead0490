"""Text that others have written commands nothing."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secateur.utils.terminal import Terminal
from secateur.utils.text import csv_table, csv_text, is_number, printable
from tests.fuzzing import cases

HOSTILE = "\x1b[2Jname\x07\u202egpj.exe\r\n\t\x9b31m"


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@cases(200)
@given(st.text())
@example(HOSTILE)
@example("\ud800")
def test_what_is_shown_commands_no_terminal(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()  # raises of what no file takes


def test_what_can_be_shown_stays_and_the_rest_is_escaped():
    assert printable("Größe ± 0.5 %, 猫") == "Größe ± 0.5 %, 猫"
    assert printable(HOSTILE) == r"\x1b[2Jname\x07\u202egpj.exe\r\n\t\x9b31m"


@cases(200)
@given(st.text())
@example("=HYPERLINK(1)")
@example(" =1")
@example("\t=1")
@example("\r=1")
@example("@SUM(1)")
@example("-2+3")
@example("+1 (2)")
def test_a_cell_of_text_is_no_formula(text):
    ((cell,),) = read(csv_text([[text or "x"]]))
    assert cell.isprintable()
    assert not cell.lstrip().startswith(("=", "+", "-", "@")) or is_number(cell)


@pytest.mark.parametrize("number", [-0.5, "-0.5", "+1e-3", "-inf", -3, 1e-300, "nan"])
def test_a_number_stays_one(number):
    assert read(csv_text([[number]])) == [[str(number)]]


def test_a_table_has_a_line_of_columns_and_one_for_each_row():
    rows = [{"epoch": 1, "loss": None, "name": "=a,b"}, {"epoch": 2}]
    assert csv_table(["epoch", "loss", "name"], rows) == 'epoch,loss,name\r\n1,,"\'=a,b"\r\n2,,\r\n'


def test_a_terminal_shows_text_as_it_is_line_by_line(capsys):
    Terminal(width=200).print("[bold]a[/x] :smile: \x1b[31m\u202e\nsecond", highlight=False)
    assert capsys.readouterr().out == r"[bold]a[/x] :smile: \x1b[31m\u202e" + "\nsecond\n"
