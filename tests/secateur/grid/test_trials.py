"""What tells the runs of a grid apart, and how they are named and called."""

from pathlib import Path

import pytest

from secateur.grid.options import GridOptions
from secateur.grid.outcome import Outcome
from secateur.grid.trials import Grid, Trial, argv_of, digits, key_of, plain, trials_of

SETTINGS = [
    {"model": ("LeNet300",), "seed": ("1",), "tuning": (), "input_dim": ("1", "8", "8")},
    {"model": ("LeNet300",), "seed": ("0.5",), "l2_reg": ("x/y",), "input_dim": ("3", "8", "8")},
]


def test_what_varies_is_shown_as_numbers_texts_and_switches():
    first, second = trials_of(SETTINGS)
    assert first.varying == {"seed": 1, "tuning": True, "input_dim": "1 8 8", "l2_reg": None}
    assert second.varying == {"seed": 0.5, "tuning": None, "input_dim": "3 8 8", "l2_reg": "x/y"}
    assert first.shown() == {"seed": "1", "tuning": "tuning", "input_dim": "1 8 8"}
    assert second.shown() == {"seed": "0.5", "input_dim": "3 8 8", "l2_reg": "y"}
    assert not first.resume_anyway
    assert trials_of(SETTINGS[:1])[0].varying == {}


def test_a_run_has_a_name_that_ends_in_its_key_in_whatever_order_its_flags_stand():
    first, second = trials_of(SETTINGS)
    assert first.label == f"seed-1_tuning_input_dim-1-8-8_{first.key}"
    assert second.label == f"seed-0.5_input_dim-3-8-8_l2_reg-y_{second.key}"
    # as blake2b says, whose digest of 4 bytes is no part of a longer one
    assert Trial({"seed": ("1",)}, {}).key == digits('[["seed", ["1"]]]') == "a2561e30"
    assert Trial(dict(reversed(SETTINGS[0].items())), {}).key == first.key
    assert len({first.key, second.key}) == 2
    assert digits("a", "b") == digits("a\nb") != digits("ab")


@pytest.mark.parametrize(
    ("varying", "name"),
    [
        ({}, "run"),
        ({"seed": None}, "run"),
        ({"model": "timm:a/b.c+d"}, "b.c+d"),
        ({"model": "LeNet300", "loss": "CrossEntropy"}, "LeNet300_CrossEntropy"),
        ({"data_dir": "/a/b/"}, "data_dir--a-b"),
        ({"l2_reg": -0.5}, "l2_reg--0.5"),
        ({"name": "é ü"}, "name"),
        ({"x": "y" * 200}, "x-" + "y" * 98),
        ({"x": "y" * 97 + "._." + "z"}, "x-" + "y" * 97),
    ],
)
def test_a_name_is_short_and_of_letters_that_any_file_may_have(varying, name):
    trial = Trial({}, varying)
    assert trial.label == f"{name}_{trial.key}"


def test_a_grid_knows_what_its_runs_share():
    grid = Grid(trials_of(SETTINGS), Path("grid"), ["--seed", "1,a b"], GridOptions(), "")
    assert grid.varying == ["seed", "tuning", "input_dim", "l2_reg"]
    assert grid.common == {"model": ("LeNet300",)}
    assert grid.command == "python3 main.py --seed '1,a b'"
    assert (grid.partial, grid.asked, grid.smoke_of) == ({}, False, None)
    assert grid.partial is not Grid([], Path("grid"), [], GridOptions(), "").partial


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("-2.5", -2.5), ("1e3", 1000.0), ("1x", "1x"), ("", "")])
def test_a_number_is_one(text, value):
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_a_value_with_a_dash_stays_with_its_flag():
    settings = {"a": ("-1",), "b": ("1",), "c": (), "d": ("-1", "2"), "e": ("1", "2")}
    assert argv_of(settings) == ["--a=-1", "--b", "1", "--c", "--d", "-1", "2", "--e", "1", "2"]
    assert Trial(settings, {}).argv == argv_of(settings)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("date_x_0123abcd", "0123abcd"),
        ("x_0123abcd_12", "0123abcd"),
        ("x_0123abcd_", None),
        ("x_0123abcg", None),
        ("x_0123abc", None),
        ("0123abcd", None),
    ],
)
def test_a_folder_tells_of_which_run_it_is(name, key):
    assert key_of(Path("results") / name) == key


@pytest.mark.parametrize(
    ("status", "output", "error"),
    [
        (-15, "error: x", "killed by SIGTERM"),
        (-1, "", "killed by SIGHUP"),
        (0, "a\nb\n", "ended with status 0: b"),
        (1, "a\n  b \n \n", "ended with status 1: b"),
        (2, "error: first\nx\nerror: second\ny\n", "second"),
        (3, " \n", "ended with status 3: it said nothing"),
    ],
)
def test_the_last_that_a_process_said_tells_why_it_ended(status, output, error):
    assert Outcome(status, output).error == error


def test_the_last_forty_lines_are_kept():
    said = [str(number) for number in range(41)]
    assert Outcome(1, "\n".join(said)).last_lines == "\n".join(said[1:]) + "\n"
    assert Outcome(1, "a\nb").last_lines == "a\nb\n"
