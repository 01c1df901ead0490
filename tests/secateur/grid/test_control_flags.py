"""The words of controls: what goes with the criterion, what stays, and what their run has left, at the limits."""

import json

import pytest

from secateur.grid.controls import flags_of_results, waits_for
from secateur.grid.run_folders import folders_by_key
from secateur.grid.trials import Trial
from secateur.utils.errors import UserError
from tests.secateur.grid.test_read_grid import grid

RUN = "--model LeNet300 --data_set DIGITS"


def dense_of(flags):
    """The words of the dense network's run."""
    (dense,) = [trial.argv for trial in grid(f"{RUN} {flags} --controls dense").trials[1:]]
    return " ".join(dense)


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("--prune_criterion GRASP --grasp_temperature 100 --lp_reg 0.1 --seed 3", "--lp_reg 0.1 {} --seed 3"),
        ("--pruner GateDecorators --gate_penalty 0.5 --epochs 4", "--epochs 4 {}"),
        ("--hoyer_square --hoyer_reg 0.1 --pruning_limit 0.5 --epochs 4", "--epochs 4 {}"),
        ("--pruner SNIP --prune_delay 2 --snip_steps 3 --l2_reg 0.1", "--l2_reg 0.1 {}"),
        ("--pruner SNIP --label_smoothing 0.5 --train_sizes 4 8", "--label_smoothing 0.5 {} --train_sizes 4 8"),
        ("--pruner mag --experiment multishot --pre_epochs 3 --snip_steps 2 --epochs 2", "--epochs 2 {}"),
        ("--pruner mag --pre_epochs 3", "--epochs 83 {}"),
    ],
)
def test_the_dense_network_is_trained_alike_without_what_prunes(flags, kept):
    words = kept.format("--model LeNet300 --prune_criterion EmptyCrit")
    assert dense_of(flags) == f"--data_set DIGITS {words}"


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        ("--pruner SNIP --pruning_limit 0", 0),
        ("--pruner SNIP --pruning_limit 1e-3", 1),
        ("--pruner SNIP --compression 1", 0),
        ("--pruner SNIP --compression 2", 1),
        ("--pruner SNIP --reinitialise", 0),
        ("--pruner SNIP --control shuffled --control_of _0123abcd", 0),
        ("--pruner Narrower", 0),
        ("--pruner EmptyCrit", 0),
        ("--pruner SNIP,mag", 1),
        ("--pruner SNIP --seed 1,2", 2),
        ("--pruner SNIP,EmptyCrit --seed 1,2", 0),
        ("--pruner SNIP --prune_delay 1,2 --seed 1,2", 2),
    ],
)
def test_there_is_one_dense_network_for_all_that_are_trained_alike(flags, number):
    trials = grid(f"{RUN} {flags} --controls dense").trials
    plain = len(grid(f"{RUN} {flags} --jobs 1").trials)
    assert len(trials) - plain == number
    assert all(trial.settings["prune_criterion"] == ("EmptyCrit",) for trial in trials[plain:])
    assert not any("control" in trial.settings for trial in trials[plain:])


def test_of_a_checkpoint_none_is_made_narrower(tmp_path):
    metadata = {"format": 1, "model": "LeNet300", "data_set": "DIGITS", "input_shape": [1, 8, 8], "num_classes": 10}
    (tmp_path / "run" / "models").mkdir(parents=True)
    (tmp_path / "run" / "models" / "LeNet300_finished.json").write_text(json.dumps({**metadata, "options": {}}))
    command = f"--results_dir {tmp_path} --checkpoint_name run --pruner SNIP --controls"
    trials = grid(command).trials
    kinds = [trial.settings["control"][0] for trial in trials if "control" in trial.settings]
    assert kinds == ["same_densities", "shuffled", "reinitialised"]
    assert trials[1].settings["prune_criterion"] == ("EmptyCrit",)
    assert {trial.settings["control_of"] for trial in trials[2:]} == {(f"_{trials[0].key}",)}


def finished(folder, name, **results):
    """Make the folder of a run that has finished."""
    (folder / name / "output").mkdir(parents=True)
    (folder / name / "output" / "results.json").write_text(json.dumps(results))


def control(kind):
    return Trial({"control": (kind,), "control_of": ("_0123abcd",)}, {})


def test_the_newest_results_count_that_are_no_interruption(tmp_path):
    finished(tmp_path, "1_0123abcd", parameters_kept=1, flops_effective=10)
    finished(tmp_path, "2_0123abcd", parameters_kept=2.9, flops_effective=20)
    finished(tmp_path, "3_0123abcd", parameters_kept=3, flops_effective=30, interrupted=True)
    (tmp_path / "4_0123abcd").mkdir()
    folders = folders_by_key(tmp_path)
    assert flags_of_results(control("same_parameters"), folders) == ["--target", "params=2"]
    assert flags_of_results(control("same_flops"), folders) == ["--target", "flops=20"]
    assert flags_of_results(control("reinitialised"), folders) == []
    assert flags_of_results(Trial({}, {}), folders) == []


@pytest.mark.parametrize(
    ("densities", "words"),
    [
        ({"a": 1, "b": 1 - 1e-5, "c": 0.999995}, ["--layer_sparsity", "b=0.000010000000", "--ignore_layers", "a,c"]),
        ({"a": 0, "b": 1e-13, "c": 0.25}, ["--layer_sparsity", "a=0.999999999999,b=0.999999999999,c=0.750000000000"]),
        ({"a": 1.0}, ["--ignore_layers", "a"]),
        ({}, []),
    ],
)
def test_a_layer_is_whole_but_for_a_hundred_thousandth_and_none_is_empty(tmp_path, densities, words):
    finished(tmp_path, "1_0123abcd", layer_densities=densities)
    assert flags_of_results(control("same_densities"), folders_by_key(tmp_path)) == words


@pytest.mark.parametrize("kind", ["same_parameters", "same_flops", "same_densities"])
def test_what_results_do_not_say_is_one_line(tmp_path, kind):
    with pytest.raises(UserError, match=r"^--control_of _0123abcd: the run that this one is a control of has not fin"):
        flags_of_results(control(kind), {})
    finished(tmp_path, "1_0123abcd", parameters_kept="x", flops_effective=float("inf"), layer_densities={"a": None})
    with pytest.raises(UserError, match=r"^--control_of _0123abcd: its results.json does not say what is left of"):
        flags_of_results(control(kind), folders_by_key(tmp_path))


def test_controls_of_results_wait_for_their_run():
    kinds = ("same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised")
    assert [waits_for(control(kind)) for kind in kinds] == ["0123abcd"] * 3 + [None] * 2
    assert waits_for(Trial({}, {})) is None
