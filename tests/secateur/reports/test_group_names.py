"""How groups of runs are named and ordered, and what their runs differ in."""

import json
from pathlib import Path

import pytest

from secateur.reports import run_options
from secateur.reports.collect import RunRecord, collect
from secateur.reports.groups import criteria_of, differences, group, mean, pareto_front


@pytest.fixture
def named(make_run_folder, tmp_path):
    """Group runs, a (criterion, settings) each; returns what each is called behind its network and data."""

    def make(*runs):
        for criterion, settings in runs:
            path = make_run_folder(criterion, 1) / "output" / "arguments.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        groups = group(collect([tmp_path])[0])
        return [(one.panel.removeprefix("LeNet300 on DIGITS"), one.line, one.target) for one in groups]

    return make


def test_switches_and_lists_are_said_as_a_person_would(named):
    found = named(
        ("SNIP", {"zeta": True, "eta": [1, 2], "alpha": "x"}),
        ("SNIP", {"zeta": False, "eta": [1], "alpha": "y"}),
    )
    assert found == [
        ("", "SNIP, alpha x, eta 1 2, zeta", "10x"),
        ("", "SNIP, alpha y, eta 1, no zeta", "10x"),
    ]


@pytest.mark.parametrize(("value", "groups"), [(False, 1), (True, 2)])
def test_a_switch_that_is_null_is_off(named, value, groups):
    assert len(named(("SNIP", {"zeta": None}), ("SNIP", {"zeta": value}))) == groups


def test_options_that_are_not_known_are_the_lines_and_those_of_training_the_panels(named):
    found = named(
        ("snip", {"own_strength": 1, "learning_rate": 0.1}),
        ("snip", {"own_strength": 2, "learning_rate": 0.1}),
        ("SNAP", {"own_strength": 2, "learning_rate": 0.1}),
        ("snip", {"own_strength": 2, "learning_rate": 0.2}),
        ("EmptyCrit", {"own_strength": 2, "learning_rate": 0.2}),
    )
    assert found == [
        (", learning_rate 0.1", "SNAP, own_strength 2", "10x"),
        (", learning_rate 0.1", "snip, own_strength 1", "10x"),
        (", learning_rate 0.1", "snip, own_strength 2", "10x"),
        (", learning_rate 0.2", "EmptyCrit", "1x"),
        (", learning_rate 0.2", "snip, own_strength 2", "10x"),
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("seed", (1, 2)),
        ("data_dir", ("a", "b")),  # a place
        ("run_name", ("a", "b")),
        ("disable_histograms", (True, False)),
        ("save_freq", (1, 2)),
        ("jobs", (1, 2)),  # of the grid
        ("engine", ("local", "ray")),
        ("smoke", (True, False)),
        ("compression", (10, None)),
        ("explicit", (["seed"], [])),
    ],
)
def test_what_changes_no_network_makes_no_group(named, name, values):
    assert named(*(("SNIP", {name: value}) for value in values)) == [("", "SNIP", "10x")]


def test_points_are_named_by_all_that_says_how_much_is_pruned(named):
    found = named(
        *(("SET", {"pruning_rate": rate, "pruning_limit": limit}) for rate in (0.25, 0.125) for limit in (0.5, 0.75)),
        ("SNIP", {"pruning_limit": None}),
        ("SNIP", {"pruning_limit": True}),
        ("SNIP", {"pruning_limit": "0.5"}),
        ("HoyerSquare", {"pruning_limit": 0.5}),
    )
    assert found == [
        ("", "HoyerSquare", "no limit"),
        ("", "SET", "2x, pruning_rate 0.125"),
        ("", "SET", "2x, pruning_rate 0.25"),
        ("", "SET", "4x, pruning_rate 0.125"),
        ("", "SET", "4x, pruning_rate 0.25"),
        ("", "SNIP", "1x"),
    ]


def test_a_control_that_is_not_known_is_a_run_like_any_other(make_run_folder, tmp_path):
    folder = make_run_folder("SNIP", 1)
    folder.rename(f"{folder}_00000001")
    make_run_folder("CNIP", 1, control="of_tomorrow", control_of="_00000001")
    make_run_folder("GRASP", 1, control="shuffled", control_of="_00000001")
    make_run_folder("GRASP", 1, control="same_flops", control_of="_00000001")
    assert [(one.name, one.control) for one in group(collect([tmp_path])[0])] == [
        ("CNIP", ""),
        ("SNIP", ""),
        ("SNIP: dense, equal FLOPs", "same_flops"),
        ("SNIP: mask shuffled within layers", "shuffled"),
    ]


def test_all_that_should_be_equal_is_told_where_it_is_not(make_run_folder, tmp_path):
    environments = [
        {"git_commit": "0123456789abcdef", "packages": {"torch": "2"}, "device": "cpu", "device_name": "A",
         "threads": 1},
        {"git_commit": "0123456789abcdef", "git_changes": "x", "packages": {"torch": "3"}, "device": "cuda",
         "device_name": "B", "threads": 2},
        {"git_commit": "0123456789abcdef", "packages": None, "device": "cpu", "device_name": "A", "threads": 1},
    ]  # fmt: skip
    settings = [
        {"N": 1, "tuning": 0.1, "pre_epochs": 1, "optimizer": "SGD", "lr_schedule": "A", "l2_reg": 0, "own": 1},
        {"N": 2, "tuning": 0.2, "pre_epochs": 2, "optimizer": "ADAM", "lr_schedule": "B", "l2_reg": 1, "own": 2,
         "precision": "bfloat16", "learning_rate": 0.5, "batch_size": 2, "input_dim": [1, 16, 16]},
        {"N": 1, "tuning": 0.1, "pre_epochs": 1, "optimizer": "SGD", "lr_schedule": "A", "l2_reg": 0, "zoo": 3},
    ]  # fmt: skip
    for name, environment, those in zip(("A", "B", "c"), environments, settings, strict=True):
        folder = make_run_folder(name, 1, **those)
        (folder / "output" / "environment.json").write_text(json.dumps(environment))
        if name == "A":
            (folder / "models").mkdir()
            (folder / "models" / "Net_finished.json").write_text('{"input_shape": [1, 8, 8]}')
    make_run_folder("A", 1, model="Another")
    make_run_folder("B", 1, model="Another")
    found = [
        (what, {value: criteria_of(runs) for value, runs in values.items()})
        for what, values in differences(group(collect([tmp_path])[0]))
    ]
    most, other = "2 runs: A, c", "1 run: B"
    assert found == [
        (f"LeNet300 on DIGITS: {what}", values)
        for what, values in (
            ("input shape", {"1x8x8": "1 run: A", "1x16x16": other, "its own": "1 run: c"}),
            ("training images (--N)", {"1": most, "2": other}),
            ("images held out (--tuning)", {"0.1": most, "0.2": other}),
            ("epochs in all", {"3": most, "4": other}),
            ("batch size", {"64": most, "2": other}),
            ("optimizer", {"SGD": most, "ADAM": other}),
            ("learning rate", {"0.002": most, "0.5": other}),
            ("learning rate's schedule", {"A": most, "B": other}),
            ("weight decay", {"0": most, "1": other}),
            ("precision", {"float32": most, "bfloat16": other}),
            ("code", {"0123456789": most, "0123456789 with changes": other}),
            ("torch", {"2": "1 run: A", "3": other, "None": "1 run: c"}),
            ("device", {"cpu A": most, "cuda B": other}),
            ("threads", {"1": most, "2": other}),
            ("--own", {"1": "1 run: A", "2": other}),
        )
    ]


def test_criteria_are_in_the_order_of_the_alphabet_and_four_are_named():
    runs = [RunRecord(Path("a"), {"prune_criterion": name}) for name in ("b", "E", "C", "a", "D", "a")]
    assert criteria_of(runs) == "6 runs: a, b, C, D and 1 more"
    assert criteria_of(runs[:1]) == "1 run: b"


def test_the_deviation_takes_two_values():
    assert (mean([1.0]).deviation, mean([1.0, None]).n, mean([1.0, 3.0]).deviation) == (None, 1, 2**0.5)
    assert mean([1.0, 3.0]).shown() == "2.00 ± 1.41 (2)"


def test_a_front_is_sorted_and_each_of_its_points_is_better_than_all_before_it():
    points = [(1, 0.9), (4, 0.1), (3, 0.3), (2, 0.25), (2, 0.5), (3.5, 0.1)]
    assert pareto_front(points) == [(1, 0.9), (2, 0.5), (3, 0.3), (4, 0.1)]


@pytest.mark.parametrize(
    ("criterion", "limit", "unit"),
    [
        ("SNIP", True, "weights"),
        ("HoyerSquare", False, "weights"),
        ("L1Norm", True, "units"),
        ("OfAPlugin", True, "weights"),
    ],
)
def test_a_criterion_says_whether_it_has_a_limit_and_what_it_prunes(criterion, limit, unit):
    settings = {"prune_criterion": criterion}
    assert (run_options.has_limit(settings), run_options.unit_of(settings)) == (limit, unit)
