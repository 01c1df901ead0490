"""Limits of text, times and names: exactly at them, and one beyond."""

import io
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from secateur.utils import terminal
from secateur.utils.errors import nearest, nearest_of, shortened
from secateur.utils.seeds import _number, seeded_globally
from secateur.utils.stateful import Stateful, load_own
from secateur.utils.terminal import Terminal, TimeColumn, progress_bar, those_that_fit, width_of_terminal
from secateur.utils.text import first_few, is_figure, is_number, printable_lines


@pytest.mark.parametrize(
    ("elapsed", "left", "text"),
    [
        (None, None, "0:00 so far"),
        (59.9, None, "0:59 so far"),
        (60, None, "1:00 so far"),
        (3599, None, "59:59 so far"),
        (3600, None, "1:00:00 so far"),
        (5, 0, "0:00 left"),
        (5, 36_061, "10:01:01 left"),
    ],
)
def test_a_time_has_hours_where_there_are_some(elapsed, left, text):
    assert TimeColumn().render(SimpleNamespace(elapsed=elapsed, time_remaining=left)).plain == text
    assert TimeColumn.max_refresh == 0.5


def test_what_goes_to_no_terminal_is_as_wide_as_is_asked_for():
    assert Terminal(width=77).width == 77


def test_a_terminal_keeps_its_own_width(monkeypatch):
    monkeypatch.setattr(Terminal, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "55")
    assert Terminal(width=77).width == 55


@pytest.mark.parametrize(("columns", "width"), [("19", 20), ("20", 20), ("21", 21)])
def test_twenty_columns_are_the_least(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert width_of_terminal(otherwise=160) == width


def test_the_width_is_asked_of_output_errors_and_input_in_turn(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    asked = []

    def size(stream):
        asked.append(stream)
        if stream:
            raise OSError
        return os.terminal_size((0, 0))

    monkeypatch.setattr("os.get_terminal_size", size)
    assert width_of_terminal(otherwise=160) == 160
    assert asked == [1, 2, 0]


def test_parts_that_fit_end_with_the_first_that_does_not():
    assert those_that_fit(["aa", "bbbbbb", "c"], 7) == "aa"
    assert those_that_fit(["aa", "b"], 5, between="--") == "aa--b"


@pytest.mark.parametrize(
    # 80 columns less 5 for the unit, twice 4 for the numbers, and 28
    ("unit", "what", "shown"),
    [("units", "x" * 39, "x" * 39), ("units", "x" * 40, "x" * 38 + "…"), ("u" * 80, "x", "x"), ("u" * 80, "xx", "…")],
)
def test_what_a_bar_works_on_has_the_room_that_is_left(monkeypatch, unit, what, shown):
    seen = {}

    class Progress:
        def __init__(self, *columns, **options):
            seen.update(options, columns=[type(one).__name__ for one in columns])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def add_task(self, description, total):
            seen["total"] = total
            return 7

        def update(self, task, advance, description):
            seen["update"] = (task, advance, description)

    monkeypatch.setattr(terminal, "Progress", Progress)
    monkeypatch.setattr(terminal, "Terminal", lambda width: SimpleNamespace(width=80, is_terminal=False, asked=width))
    with progress_bar(1000, unit) as advance:
        advance(3, what)
    assert seen["update"] == (7, 3, shown)
    assert (seen["console"].asked, seen["transient"], seen["disable"], seen["total"]) == (120, True, True, 1000)


def test_a_bar_shows_brackets_as_they_are(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()

    class Wide(Terminal):
        def __init__(self, width):
            super().__init__(width)
            self.file, self.width, self._force_terminal, self.is_interactive = out, 100, True, True

    monkeypatch.setattr(terminal, "Terminal", Wide)
    with progress_bar(2, "units") as advance:
        advance(1, "[bold]")
    assert "[bold]" in out.getvalue()


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (1, True),
        (-0.5, True),
        (True, False),
        ("1", False),
        (None, False),
        (1e100, False),
        (-1e100, False),
        (9e99, True),
    ],
)
def test_a_figure_is_a_number_within_measure(value, is_one):
    assert is_figure(value) is is_one


def test_a_number_is_text_that_python_reads_as_one():
    assert [text for text in ("1", "-1e3", "nan", "", "x", "1,0") if is_number(text)] == ["1", "-1e3", "nan"]


def test_the_first_few_say_how_many_more_there_are():
    assert [first_few(list("abc"), most) for most in (2, 3, 4)] == ["a, b and 1 more", "a, b, c", "a, b, c"]
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_an_odd_length_is_shortened_too():
    assert (shortened("abcdef", 6), shortened("abcdef", 5)) == ("abcdef", "ab ... def")


def test_names_that_are_near_are_three_at_most():
    assert nearest_of("abc", ["abc1", "abc2", "abc3", "abc4"]) == ["abc4", "abc3", "abc2"]
    assert nearest_of("abcd", ["abxy"]) == ["abxy"]  # half of it
    assert nearest_of("abcd", ["axyz"]) == []
    assert nearest_of("abcd", ["abxy"], similarity=0.6) == []
    assert nearest("qq", [f"{number:02}" for number in range(21)]).count(",") == 19


def test_global_generators_are_seeded_by_the_seed_and_the_use():
    number = _number(3, "masks")
    with seeded_globally(3, "masks"):
        drawn = torch.rand(()), np.random.rand()  # noqa: NPY002
    assert drawn[0] == torch.rand((), generator=torch.Generator().manual_seed(number))
    assert drawn[1] == np.random.RandomState(number % 2**32).rand()


class Kept(Stateful):
    state_attrs = ("one",)
    one = 1


class More(Kept):
    state_attrs = ("two",)
    two = 2


def test_a_part_keeps_what_it_and_its_bases_name():
    part = More()
    part.one, part.two = 3, 4
    assert part.state_dict() == {"two": 4, "one": 3}
    other = More()
    other.load_state_dict(part.state_dict())
    assert (other.one, other.two) == (3, 4)
    with pytest.raises(ValueError, match=r"^More keeps no 'three'$"):
        other.load_state_dict({"three": 3})


def test_all_of_a_networks_tensors_are_loaded_unless_it_is_said_otherwise():
    network = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_own(network, {"bias": torch.ones(1)})
    load_own(network, {"bias": torch.full((1,), 7.0)}, strict=False)
    assert network.bias.item() == 7
