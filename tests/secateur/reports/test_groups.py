"""Groups, means, differences and fronts, by hand."""

import math

import pytest

from secateur.reports.collect import collect
from secateur.reports.groups import differences, group, mean, pareto_front


def test_mean_and_deviation_are_the_samples():
    found = mean([0.5, None, 0.7, 0.9, math.inf])
    assert (found.value, found.deviation, found.n) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    assert found.shown(1, 100) == "70.0 ± 20.0 (3)"
    assert mean([0.5]).shown() == "0.50 (1)"
    assert mean([None]) is None


def test_runs_that_differ_in_their_seed_are_one_group(make_run_folder, tmp_path):
    for seed, accuracy in ((1, 0.5), (2, 0.7), (3, 0.9)):
        make_run_folder("SNIP", seed, accuracy)
    make_run_folder("GRASP", 1)
    make_run_folder("SNIP", 1, 0.4, pruning_limit=0.95)
    make_run_folder("EmptyCrit", 1, pruning_limit=0.5, results={"weight_sparsity": 0.0})
    make_run_folder("EmptyCrit", 2, pruning_limit=0.9, results={"weight_sparsity": 0.0})
    groups = group(collect([tmp_path])[0])
    assert [(one.line, one.target, len(one.runs)) for one in groups] == [
        ("EmptyCrit", "1x", 2),
        ("GRASP", "10x", 1),
        ("SNIP", "10x", 3),
        ("SNIP", "20x", 1),
    ]
    assert {one.panel for one in groups} == {"LeNet300 on DIGITS"}
    assert mean(run.accuracy for run in groups[2].runs).deviation == pytest.approx(0.2)


def test_pruning_extends_the_line_and_training_makes_a_panel(make_run_folder, tmp_path):
    make_run_folder("SNIPit", 1)
    make_run_folder("SNIPit", 1, snip_steps=9, tuning=None)
    make_run_folder("SNIPit", 1, learning_rate=0.1, tuning=False)
    make_run_folder("GRASP", 1, tuning=None)
    groups = group(collect([tmp_path])[0])
    assert {(one.panel.partition(", ")[2], one.line) for one in groups} == {
        ("learning_rate 0.002", "SNIPit, snip_steps 5"),
        ("learning_rate 0.002", "SNIPit, snip_steps 9"),
        ("learning_rate 0.1", "SNIPit, snip_steps 5"),
        ("learning_rate 0.002", "GRASP, snip_steps 5"),
    }


def test_one_criterion_is_compared_with_itself_in_one_panel(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1)
    make_run_folder("SNIP", 1, learning_rate=0.1)
    groups = group(collect([tmp_path])[0])
    assert [one.line for one in groups] == ["SNIP, learning_rate 0.002", "SNIP, learning_rate 0.1"]
    assert len({one.panel for one in groups}) == 1


def test_the_dense_network_is_no_criterion_to_compare_with(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1)
    make_run_folder("SNIP", 1, learning_rate=0.1)
    make_run_folder("EmptyCrit", 1)
    groups = group(collect([tmp_path])[0])
    assert [one.line for one in groups] == [
        "EmptyCrit, learning_rate 0.002",
        "SNIP, learning_rate 0.002",
        "SNIP, learning_rate 0.1",
    ]
    assert len({one.panel for one in groups}) == 1


def test_limits_that_differ_in_a_late_digit_are_two_points(make_run_folder, tmp_path):
    for limit in (0.999, 0.9991, 1.0):
        make_run_folder("SNIP", 1, pruning_limit=limit)
    groups = group(collect([tmp_path])[0])
    assert [(one.target, one.strength) for one in groups] == [
        ("1000x", (0.999,)),
        ("1111.11x", (0.9991,)),
        ("all", (1.0,)),
    ]


def test_other_ways_to_say_how_much_is_pruned_are_of_the_point(make_run_folder, tmp_path):
    for penalty in (1e-3, 1e-4):
        make_run_folder("HoyerSquare", 1, hoyer_reg=penalty)
    make_run_folder("EmptyCrit", 1, hoyer_reg=0)
    groups = group(collect([tmp_path])[0])
    assert [(one.line, one.target, one.strength) for one in groups] == [
        ("EmptyCrit", "1x", (0, 0)),
        ("HoyerSquare", "hoyer_reg 0.0001", (0, 1e-4)),
        ("HoyerSquare", "hoyer_reg 0.001", (0, 1e-3)),
    ]


def test_an_option_of_another_criterion_makes_no_column(make_run_folder, tmp_path):
    # RigL's command line may name the penalty of HoyerSquare's loss too, and its runs record it.
    for penalty in (1e-3, 1e-4):
        make_run_folder("HoyerSquare", 1, hoyer_reg=penalty, l0_reg=1.0, loss="HoyerSquareCrossEntropy")
    make_run_folder("RigL", 1, hoyer_reg=1.0, pruning_rate=0.3, attack_norm="l2", loss="CrossEntropy")
    make_run_folder("SET", 1, pruning_rate=0.3, loss="CrossEntropy")
    make_run_folder("SNIP", 1, loss="CrossEntropy")
    make_run_folder("OfAPlugin", 1, hoyer_reg=1.0, loss="OfAPluginToo")
    runs = collect([tmp_path])[0]
    assert [(one.line, one.target) for one in group(runs)] == [
        ("HoyerSquare", "hoyer_reg 0.0001"),
        ("HoyerSquare", "hoyer_reg 0.001"),
        ("OfAPlugin", "10x, hoyer_reg 1.0"),  # what declares it may be the plugin's loss
        ("RigL", "10x"),
        ("SET", "10x"),
        ("SNIP", "10x"),
    ]
    kept = {run.settings["prune_criterion"]: {"hoyer_reg", "l0_reg", "pruning_rate"} & {*run.settings} for run in runs}
    assert kept == {
        "HoyerSquare": {"hoyer_reg"},
        "OfAPlugin": {"hoyer_reg"},
        "RigL": {"pruning_rate"},
        "SET": {"pruning_rate"},
        "SNIP": set(),
    }


def test_a_criterion_without_an_option_is_not_named_by_it(make_run_folder, tmp_path):
    for steps in (20, 50):
        make_run_folder("RigL", 1, update_steps=steps)
    make_run_folder("GRASP", 1)
    assert [one.line for one in group(collect([tmp_path])[0])] == [
        "GRASP",
        "RigL, update_steps 20",
        "RigL, update_steps 50",
    ]


def test_what_compared_runs_differ_in_is_named(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1)
    make_run_folder("IMP", 1, epochs=3, pre_epochs=1)
    other = make_run_folder("GRASP", 1, batch_size=32)
    (other / "output" / "environment.json").write_text('{"git_commit": "def", "packages": {"torch": "2"}}')
    found = dict(differences(group(collect([tmp_path])[0])))
    told = {
        what: {value: [run.settings["prune_criterion"] for run in runs] for value, runs in values.items()}
        for what, values in found.items()
    }
    assert told == {
        "LeNet300 on DIGITS: epochs in all": {"2": ["GRASP", "SNIP"], "4": ["IMP"]},
        "LeNet300 on DIGITS: batch size": {"32": ["GRASP"], "64": ["IMP", "SNIP"]},
        "LeNet300 on DIGITS: code": {"def": ["GRASP"], "abc": ["IMP", "SNIP"]},
    }


def test_other_settings_that_only_differ_between_criteria_are_named(make_run_folder, tmp_path):
    make_run_folder("SNIP", 1, grad_clip=10, rubbish_images=64, snip_steps=5, preload_all_data=False)
    for value in (3, 4):
        options = {"snip_steps": 9, "preload_all_data": True, "grasp_temperature": value}
        make_run_folder("GRASP", 1, grad_clip=0, rubbish_images=100, **options)
    assert [what for what, _ in differences(group(collect([tmp_path])[0]))] == [
        "LeNet300 on DIGITS: --grad_clip",
        "LeNet300 on DIGITS: --rubbish_images",
    ]


def test_the_front_holds_what_no_other_point_beats():
    assert pareto_front([(1, 0.9), (2, 0.8), (1.5, 0.7), (3, 0.6)]) == [(1, 0.9), (2, 0.8), (3, 0.6)]
    assert pareto_front([(1, 0.5), (2, 0.5), (2, 0.4)]) == [(2, 0.5)]
