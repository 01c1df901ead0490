"""Errors that a user can put right."""

import pytest

from secateur.utils.errors import LONGEST, UserError, nearest, one_line, raised_at, shortened


def test_a_long_message_loses_its_middle_and_shows_it():
    assert shortened("a" * 10 + "b" * 10, 10) == "aaaaa ... bbbbb"
    assert shortened("a" * 10, 10) == "a" * 10
    assert (
        one_line(ValueError("first\n  second " + "x" * 300 + " last"), 40)
        == "first second xxxxxxx ... xxxxxxxxxxxxxxx last"
    )
    assert LONGEST == 2000
    assert len(str(UserError("x" * 10 * LONGEST))) == LONGEST + len(" ... ")
    said = str(UserError("a" * LONGEST + "b" * LONGEST))
    assert said == "a" * (LONGEST // 2) + " ... " + "b" * (LONGEST // 2)


def test_what_a_terminal_would_obey_is_escaped():
    assert str(UserError("a\x1bb\nc")) == r"a\x1bb\nc"


def test_an_error_names_the_innermost_line_or_that_of_a_file():
    with pytest.raises(TypeError) as raised:
        shortened(None, 3)
    at = raised_at(raised.value)
    assert at.startswith(" (")
    assert "/utils/errors.py:" in at
    here = raised_at(raised.value, __file__)
    assert here.startswith(f" ({__file__}:")
    assert raised_at(raised.value, "elsewhere.py") == raised_at(ValueError()) == ""


def test_near_names_are_suggested_whatever_their_case_else_the_first_there_are():
    assert nearest("snap", ["SNIP", "SNAPit", "ship", "snaps", "zzz"]) == ": did you mean snaps, SNAPit, SNIP?"
    assert nearest("LENET", ["lenet5", "zzz"]) == ": did you mean lenet5?"
    assert nearest("abcd", ["a1", "yyy", "xxx", "xxx"]) == ": there is a1, xxx, yyy"
    assert nearest("abcd", [f"{number:02}" for number in range(30)]).endswith("18, 19")
    assert nearest("abcd", []) == ""
