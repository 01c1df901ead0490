"""What a value from Python, rather than the text of a command line, may be for an option."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from secateur.utils.errors import UserError
from tests.secateur.config.records import record


@pytest.mark.parametrize(
    ("one", "value", "expected"),
    [
        (record(int, low=1), 3, 3),
        (record(int, low=1), 3.0, 3),
        (record(int), np.int64(3), 3),
        (record(float, high=1, below=True), 0.5, 0.5),
        (record(float), 2, 2.0),
        (record(float), np.float32(0.25), 0.25),
        (record(float), Fraction(1, 4), 0.25),
        (record(bool, False), True, True),
        (record(str, choices=("a", "b"), synonyms={"c": "a"}), "c", "a"),
        (record(str, is_path=True), Path("a/b"), "a/b"),
        (record(Path), "a/b", Path("a/b")),
        (record(list[int]), [8, 1, 8], [8, 1]),
        (record(list[int]), (8, 1), [8, 1]),
        (record(list[int]), 8, [8]),
        (record(list[int], words="+"), (3, 32, 32), [3, 32, 32]),
        (record(list[str]), "name", ["name"]),
        (record(float, None), None, None),
    ],
)
def test_a_value_from_python_is_taken_as_what_it_means(one, value, expected):
    found = one.checked(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("one", "value", "message"),
    [
        (record(int, low=1), 0, "one: 0 is out of range: at least 1"),
        (record(int), 2.5, "one: 2.5 is not a whole number"),
        (record(int), "3", "one: '3' is not a whole number"),
        (record(int), True, "one: True is not what it takes"),
        (record(int), math.inf, "one: cannot convert float infinity to integer"),
        (record(int), math.nan, "one: cannot convert float NaN to integer"),
        (record(int), 10**400, "one: 10000000000000000000... has more digits than any setting needs"),
        (record(float), 10**400, "one: int too large to convert to float"),
        (record(float), math.nan, "one: nan is out of range: a finite number is needed"),
        (record(float), "0.5", "one: '0.5' is not a number"),
        (record(float, 0.5), None, "one: None is not a number"),
        (record(bool, False), 1, "one: 1 is not True or False"),
        (record(bool, False), "yes", "one: 'yes' is not True or False"),
        (record(bool, False), None, "one: None is not True or False"),
        (record(str), 3, "one: 3 is not a text"),
        (record(str, choices=("a", "b")), "c", "one: 'c' is not one of a, b"),
        (record(str, pattern=(r"\d+", "digits")), "1a", "one: '1a' is not digits"),
        (record(list[int]), [], "one: it is empty"),
        (record(list[int]), ["a"], "one: 'a' is not a whole number"),
        (record(list[int]), [1, None], "one: None is not a whole number"),
        (record(str), "", "one: it is empty"),
        (record(list[str]), [""], "one: it is empty, or lacks a name beside a comma"),
        (record(int, flag="its_flag"), 2.5, "its_flag: 2.5 is not a whole number"),
    ],
)
def test_a_value_from_python_that_cannot_be_is_refused_by_the_flags_name(one, value, message):
    with pytest.raises(UserError) as raised:
        one.checked(value)
    assert str(raised.value) == message
    assert isinstance(raised.value, ValueError)
