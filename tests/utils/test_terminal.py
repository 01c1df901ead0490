"""Bars and lists that fit the terminal."""

import io
import re

import pytest

from secateur.utils import terminal
from secateur.utils.terminal import progress_bar, width_of_terminal


@pytest.mark.parametrize(("columns", "shown"), [(80, "LinfProjectedGradientDescentA…"), (60, "LinfProje…")])
def test_a_bar_keeps_its_numbers_and_its_time_at_any_width(monkeypatch, columns, shown):
    monkeypatch.setenv("TERM", "xterm")  # a dumb one has no bar
    out = io.StringIO()

    class Narrow(terminal.Terminal):
        def __init__(self, width):
            super().__init__(width)
            self.file, self.width, self._force_terminal, self.is_interactive = out, columns, True, True

    monkeypatch.setattr(terminal, "Terminal", Narrow)
    with progress_bar(150, "sparsities tried") as advance:
        advance(50, "LinfProjectedGradientDescentAttack")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    lines = [one for one in re.split(r"[\r\n]+", plain) if shown in one]
    assert lines[-1].startswith(f"{shown} ━")
    assert lines[-1].rstrip().endswith(" 50/150 sparsities tried 0:00 so far")
    assert len(lines[-1]) <= columns


def test_the_width_is_that_of_columns_and_else_of_any_terminal_there_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert width_of_terminal(otherwise=160) == 70
    for nonsense in ("", "wide"):
        monkeypatch.setenv("COLUMNS", nonsense)
        monkeypatch.setattr("os.get_terminal_size", lambda stream: (_ for _ in ()).throw(OSError()))
        assert width_of_terminal(otherwise=160) == 160
    monkeypatch.setattr("os.get_terminal_size", lambda stream: terminal.os.terminal_size((90, 20)))
    assert width_of_terminal(otherwise=160) == 90
