"""What a state may say, and in which words the rest is refused."""

import math
import re

import pytest
import torch

from secateur.config.option import LARGEST
from secateur.training.state_checks import check_like, check_names, check_progress, check_shapes
from secateur.utils.errors import UserError

WHOLE = {"epoch": 2, "seconds": 0.5, "notices": ["a", "b"], "observers": {}}


@pytest.mark.parametrize("changes", [{}, {"epoch": 0}, {"epoch": 3}, {"seconds": 0}, {"notices": []}])
def test_a_state_says_how_far_the_run_has_come(changes):
    check_progress(WHOLE | changes, 3)


@pytest.mark.parametrize(
    "changes",
    [
        *({"epoch": value} for value in (-1, 4, 2.0, True, None)),
        *({"seconds": value} for value in (-0.5, LARGEST, math.nan, "1", None)),
        *({"notices": value} for value in ("a", [1], ["a", None], None)),
        *({"observers": value} for value in ([], None)),
    ],
)
def test_a_state_that_does_not_is_refused_by_name(changes):
    ((name, value),) = changes.items()
    with pytest.raises(UserError, match=f"^no saved state is intact: its {name} is {re.escape(repr(value))}$"):
        check_progress(WHOLE | changes, 3)


FRESH = {"count": 1, "rate": 0.5, "name": "a", "on": True, "weight": torch.ones(2), "pairs": [(1, 2.0)], "later": None}


@pytest.mark.parametrize(
    "found",
    [
        {}, FRESH, {"rate": 3}, {"count": LARGEST - 1}, {"weight": torch.ones(3)}, {"pairs": []}, {"later": "anything"},
        {"pairs": [(5, 1.0), (6, 2)]}, {"unknown": {}},
    ],
)  # fmt: skip
def test_what_is_of_the_same_kind_may_have_any_value(found):
    check_like(found, FRESH, "trainer")


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("count", 1.0, "count"), ("count", LARGEST, "count"), ("count", -LARGEST, "count"), ("count", True, "count"),
        ("rate", math.inf, "rate"), ("rate", True, "rate"), ("name", 1, "name"), ("on", 1, "on"),
        ("weight", torch.ones(2).double(), "weight"), ("weight", [1.0], "weight"), ("pairs", (), "pairs"),
        ("pairs", [(1, 2.0), (1, "x")], "pairs[1][1]"), ("pairs", [(1, 2.0), (1.5, 2.0)], "pairs[1][0]"),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_refused_by_its_place(name, value, place):
    with pytest.raises(ValueError, match=rf"^trainer\.{re.escape(place)} is "):
        check_like({name: value}, FRESH, "trainer")


def test_of_a_tensor_its_form_is_shown_and_of_long_text_the_beginning():
    with pytest.raises(ValueError, match=r"^a is a tensor \(2, 3\), torch\.float64$"):
        check_like(torch.ones(2, 3).double(), torch.ones(1), "a")
    for length, shown in ((78, "'" + 78 * "x" + "'"), (79, "'" + 76 * "x" + "...")):
        with pytest.raises(ValueError, match=f"^a is {re.escape(shown)}$"):
            check_like("x" * length, 1, "a")


def test_names_are_the_same():
    check_names({"a": 1, "b": 2}, {"b": 3, "a": 4}, "schedule")
    with pytest.raises(ValueError, match=r"^schedule has 'c'$"):
        check_names({"a": 1, "c": 2}, {"a": 3}, "schedule")
    with pytest.raises(ValueError, match=r"^schedule lacks 'b'$"):
        check_names({"a": 1}, {"a": 3, "b": 2}, "schedule")


def test_shapes_and_types_are_the_same_where_both_have_a_tensor():
    fresh = {"a": torch.ones(2), "b": None, "c": 1}
    check_shapes({"a": torch.zeros(2), "b": torch.ones(3), "c": 2, "d": torch.ones(4)}, fresh, "network")
    check_shapes({"a": None}, fresh, "network")
    for wrong in (torch.ones(3), torch.ones(2).double(), 5):
        with pytest.raises(ValueError, match=r"^network\.a is "):
            check_shapes({"a": wrong}, fresh, "network")
