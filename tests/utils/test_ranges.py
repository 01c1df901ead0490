import contextlib
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.ranges import commas_of, number, numbers, several_of
from utils.ranges import text as any_text


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (number(float, 0, 1, below=True), ["0", "0.5", "1e-3"], ["1", "-0.1", "nan", "inf", "", "x", "0x1", "1.5"]),
        (number(float, 0, above=True), ["1e-9", "3"], ["0", "-1", "inf", "nan"]),
        (number(int, 1, 10), ["1", "10"], ["0", "11", "1.5", "1e1", "nan", "9" * 5000]),
        (number(float), ["-1e300", "0"], ["nan", "inf", "-inf"]),
    ],
)
def test_numbers_are_checked_against_their_range(read, good, bad):
    for text in good:
        assert read(text) == float(text)
    for text in bad:
        with pytest.raises(ArgumentTypeError):
            read(text)


def test_the_message_names_the_range():
    with pytest.raises(ArgumentTypeError, match=r"2 is out of range: at least 0 and below 1"):
        number(float, 0, 1, below=True)("2")


def test_types_say_whether_a_single_value_holds_commas():
    kinds = {numbers(int): list, several_of("a"): list, any_text: str, Path: str, number(int): None, str: None}
    assert {read: commas_of(read) for read in kinds} == kinds


@given(st.text())
def test_no_text_raises_anything_else(text):
    value = 0
    with contextlib.suppress(ArgumentTypeError):
        value = number(float, 0, 5)(text)
    assert 0 <= value <= 5


def test_several_numbers_are_read_one_by_one():
    read = numbers(int, 1, 256)
    assert read("64") == [64]
    assert read("8,1,8") == [8, 1]
    for text in ("", "1,", "1,257", "1;8", "1,x"):
        with pytest.raises(ArgumentTypeError):
            read(text)


def test_names_of_a_list():
    assert several_of("a", "b")("b,a,b") == ["b", "a"]
    for text in ("", "a,", "c", "a, b"):
        with pytest.raises(ArgumentTypeError, match="is not one of a, b"):
            several_of("a", "b")(text)
