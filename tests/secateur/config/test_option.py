"""The record of an option: what it says, and what the text of a command line may be."""

import contextlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.config.option import FREE_TEXT, KEEP, Configurable, Option, option
from tests.secateur.config.records import record


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (record(float, low=0, high=1, below=True), ["0", "0.5", "1e-3"], ["1", "-0.1", "nan", "inf", "", "x", "0x1"]),
        (record(float, low=0, high=1, below=True), ["1/2"], ["1.5", "3/2", "1/0", "1/", "/2", "1/2/3"]),
        (record(float, low=0, above=True), ["1e-9", "3"], ["0", "-1", "inf", "nan", "0/3"]),
        (record(float, low=0, high=1), ["0", "1"], ["-1e-9", "1.0000001"]),
        (record(float, low=0, high=1, above=True, below=True), ["0.5"], ["0", "1", "-0.0"]),
        (record(int, low=1, high=10), ["1", "10"], ["0", "11", "1.5", "1e1", "nan", "9" * 5000, "4/2"]),
        (record(int, low=1, high=10, above=True), ["2", "10"], ["1", "11"]),
        (record(float), ["-1e300", "0"], ["nan", "inf", "-inf", "1e999", "-1e999"]),
        (record(int), ["-5", str(2**63 - 1)], [str(2**63), str(-(2**63)), "None", "½"]),
    ],
)
def test_numbers_are_checked_against_their_range(read, good, bad):
    for text in good:
        assert read.read(text) == read.kind(Fraction(text))
        assert type(read.read(text)) is read.kind
    for text in bad:
        with pytest.raises(ValueError, match=r"is not a|is out of range|has more digits"):
            read.read(text)


def test_a_fraction_is_its_quotient():
    assert record(float).read("8/255") == 8 / 255
    assert record(float).read("-1/8") == -0.125


@pytest.mark.parametrize(
    ("fields", "text", "message"),
    [
        ({"low": 0, "high": 1, "below": True}, "2", "2 is out of range: at least 0 and below 1"),
        ({"low": 0, "high": 1, "above": True}, "2", "2 is out of range: above 0 and at most 1"),
        ({"low": 0.5}, "0", "0 is out of range: at least 0.5"),
        ({"high": 1e6}, "1e7", "1e7 is out of range: at most 1e+06"),
        ({}, "nan", "nan is out of range: a finite number is needed"),
    ],
)
def test_the_message_names_the_range(fields, text, message):
    with pytest.raises(ValueError, match="out of range") as raised:
        record(float, **fields).read(text)
    assert str(raised.value) == message


@given(st.text())
def test_no_text_raises_anything_else(text):
    value = 0
    with contextlib.suppress(ValueError):
        value = record(float, low=0, high=5).read(text)
    assert 0 <= value <= 5


def test_several_numbers_are_read_one_by_one():
    several = record(list[int], low=1, high=256)
    assert several.read("64") == [64]
    assert several.read("8,1,8") == [8, 1]
    for text in ("", "1,", "1,257", "1;8", "1,x"):
        with pytest.raises(ValueError, match=r"is not a whole number|257 is out of range: at least 1 and at most 256"):
            several.read(text)


def test_names_of_a_list():
    several = record(list[str], choices=("a", "b"))
    assert several.read("b,a,b") == ["b", "a"]
    for text in ("", "a,", "c", "a, b"):
        with pytest.raises(ValueError, match="is not one of a, b"):
            several.read(text)
    free = record(list[str])
    assert free.read("x,y z,x") == ["x", "y z"]
    for text in ("", "a,,b", ",a"):
        with pytest.raises(ValueError, match="it is empty, or lacks a name beside a comma"):
            free.read(text)


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (record(list[int]), True),
        (record(list[str], choices=("a",)), True),
        (record(str, pattern=FREE_TEXT), True),
        (record(Path), True),
        (record(int), False),
        (record(str), False),
        (record(str, choices=("a", "b")), False),
        (record(str, pattern=("a.*", "an a")), False),
        (record(list[int], words="+"), True),
    ],
)
def test_a_record_says_whether_a_single_value_holds_commas(one, holds):
    assert one.holds_commas is holds


def test_a_text_is_one_of_the_choices_or_of_their_synonyms():
    form = record(str, "auto", choices=("auto", "cifar"), synonyms={"lottery": "cifar", "default": "auto"})
    assert [form.read(text) for text in ("auto", "cifar", "lottery", "default")] == ["auto", "cifar", "cifar", "auto"]
    with pytest.raises(ValueError, match="'Cifar' is not one of auto, cifar"):
        form.read("Cifar")
    steps = record(int, synonyms={"few": "3"}, high=5)
    assert steps.read("few") == 3


def test_a_text_matches_the_whole_of_its_pattern():
    device = record(str, pattern=(r"cpu|cuda(:\d+)?", "cpu, cuda or cuda:N"))
    assert [device.read(text) for text in ("cpu", "cuda:12")] == ["cpu", "cuda:12"]
    for text in ("", "cpus", "cuda:", "cuda:1\n", " cpu"):
        with pytest.raises(ValueError, match=r"is not cpu, cuda or cuda:N"):
            device.read(text)
    for text in ("", "a,b", "two\nlines"):
        assert record(str, pattern=FREE_TEXT).read(text) == text


def test_a_text_is_not_empty_unless_it_is_the_users_own():
    assert record(str, pattern=FREE_TEXT).read("") == ""
    for one in (record(str), record(Path), record(Path, pattern=FREE_TEXT)):
        with pytest.raises(ValueError, match=r"^it is empty$"):
            one.read("")


def test_words_of_their_own_are_read_one_at_a_time():
    shape = record(list[int], words="+", low=1)
    assert [shape.read(word) for word in ("3", "32", "32")] == [3, 32, 32]
    with pytest.raises(ValueError, match="'3,32' is not a whole number"):
        shape.read("3,32")
    assert record(list[Path], words="+").read("a,b") == Path("a,b")


@pytest.mark.parametrize(
    ("annotation", "default", "kind", "many"),
    [
        (int, 3, int, False),
        (float, 1, float, False),
        (float | None, None, float, False),
        ("float | None", None, float, False),
        (bool, False, bool, False),
        (str, "a", str, False),
        (Path | None, None, Path, False),
        ("pathlib.Path", None, Path, False),
        (list[int], [1], int, True),
        (list[float] | None, None, float, True),
        ("list[Path]|None", None, Path, True),
        (list, ["a"], str, True),
        ("Form", "auto", str, False),
        ("Literal['a', 'b']", "a", str, False),
    ],
)
def test_the_annotation_says_what_a_value_is_else_the_default_does(annotation, default, kind, many):
    one = record(annotation, default)
    assert (one.kind, one.many, one.name, one.flag) == (kind, many, "one", "one")


def test_without_annotation_the_default_says_it():
    class Holder:
        number = option(0.5, "help")
        switch = option(False, "help")
        several = option([1, 2], "help")

    kinds = {name: (one.kind, one.many) for name, one in vars(Holder).items() if isinstance(one, Option)}
    assert kinds == {"number": (float, False), "switch": (bool, False), "several": (int, True)}


@pytest.mark.parametrize(("annotation", "default"), [(dict, None), ("Form", None), (list, None), (complex, 1j)])
def test_what_no_option_can_be_is_refused_where_it_is_declared(annotation, default):
    with pytest.raises((TypeError, RuntimeError)) as raised:  # Python before 3.12 wraps what __set_name__ raises
        record(annotation, default)
    error = raised.value.__cause__ or raised.value
    assert str(error).startswith("an option is int, float, str, bool, Path, a list[...] of these or None, and '")


def test_a_record_that_says_nothing_more_may_change_numbers_and_is_nothing_special():
    one = record(str, "a")
    assert one.changes_numbers
    special = (one.is_path, one.on_resume, one.only_training, one.general, one.above, one.below, one.is_switch)
    assert not any(special)
    assert (one.smoke, one.stands_for, one.alone, one.pattern) == (None,) * 4
    assert (one.also, one.choices, one.names, one.words, one.metavar) == ((), (), "", "", "")
    assert record(bool, False).is_switch


def test_every_path_names_a_place_and_a_text_does_where_it_says_so():
    assert record(Path).is_path
    assert record(list[Path]).is_path
    assert record(str, is_path=True).is_path
    assert not record(str).is_path


def test_the_flag_is_the_attributes_name_unless_it_says_otherwise():
    class Holder(Configurable):
        schedule: str = option("linear", "help", flag="prune_schedule", also=("approach",))

    assert (vars(Holder)["schedule"].name, vars(Holder)["schedule"].flag) == ("schedule", "prune_schedule")
    assert Holder(prune_schedule="cubic").schedule == Holder(schedule="cubic").schedule == "cubic"


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (record(int), "N"),
        (record(float), "X"),
        (record(str), "TEXT"),
        (record(Path), "PATH"),
        (record(list[int]), "N,N,..."),
        (record(list[int], words="+"), "N"),
        (record(float, metavar="RATE"), "RATE"),
        (record(list[float], metavar="E"), "E"),
    ],
)
def test_help_shows_what_a_value_is(one, shown):
    assert one.shown == shown


@pytest.mark.parametrize(
    ("one", "value", "smaller"),
    [
        (record(int, 80, smoke=4), 80, 4),
        (record(int, 80, smoke=4), 3, 3),
        (record(int, None, smoke=2), None, None),
        (record(int, 80), 80, 80),
        (record(bool, False, smoke=True), False, True),
        (record(bool, False), True, True),
        (record(list[float]), [0.5, 0.9, 0.99], [0.99]),
        (record(list[float], smoke=KEEP), [0.5, 0.9], [0.5, 0.9]),
        (record(list[int], words="+"), [1, 8, 8], [1, 8, 8]),
        (record(list[int]), None, None),
        (record(str, "a"), "b", "b"),
    ],
)
def test_a_smoke_run_takes_a_smaller_value(one, value, smaller):
    assert one.reduced(value) == smaller
