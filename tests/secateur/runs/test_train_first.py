"""The command that trains what a tester tests, and the runs that have done so already."""

import json
import os
from pathlib import Path

import pytest

from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.runs.train_first import finished_run, training_command

ROOT = Path(__file__).parents[3]


def command_for(tester, words):
    """The command that trains what a tester of this name tests."""
    registry = Registry(plugin_manager()[0])
    return training_command(words.split(), registry, registry.find("testers", tester))


def test_a_training_command_is_the_testing_one_without_what_is_for_the_tester():
    words = "--eval --k-vals=0,.5 --model LeNet300 --test-scheme Sparsification --seed 3 --ranking network --N=64"
    command = command_for("Sparsification", f"{words} --train_scheme TickTock --force-train")
    assert command == ["--model", "LeNet300", "--seed", "3", "--N=64", "--train_scheme", "TickTock"]


def test_options_of_a_criterion_that_the_tester_sets_are_for_the_tester():
    words = (
        "--eval --test_scheme Merging --merge_ratios .5 --merge_lambda=.7 --saliency_batches 3 --model VGG16 --seed 3"
    )
    assert command_for("Merging", words) == ["--model", "VGG16", "--seed", "3"]


def test_when_and_how_much_to_prune_is_for_the_training_which_says_that_it_has_no_effect():
    words = "--eval --test_scheme Merging --merge_ratios .5 --model VGG16"
    planned = "--pruning_limit .5 --prune_schedule linear --snip_steps 3 --prune_moment during --prune_freq 2"
    assert command_for("Merging", f"{words} {planned}") == ["--model", "VGG16", *planned.split()]


SETTINGS = "--model LeNet300 --data_set DIGITS --epochs 3"


@pytest.fixture
def finished(make_run, make_settings):
    """Ask which run has finished a training by the settings of a command, when one by SETTINGS has."""
    run = make_run(SETTINGS)
    run.folder.describe([], run.settings, {})

    def find(command):
        return finished_run(make_settings(command))

    assert find(SETTINGS) is None  # it has not finished
    (run.folder.models / "LeNet300_finished.json").write_text("{}")
    return lambda command: find(command) == run.folder.path


@pytest.mark.parametrize(
    ("command", "same"),
    [
        (SETTINGS, True),
        (f"{SETTINGS} --run_name other --eval_freq 0 --disable_netplot --latency", True),
        (f"{SETTINGS} --batch_size 64", True),  # what DIGITS suggests
        (f"{SETTINGS} --batch_size 32", False),
        (f"{SETTINGS} --seed 1", False),
        (f"{SETTINGS} --epochs 4", False),
        (f"{SETTINGS} --learning_rate 1e-3", False),
        (f"{SETTINGS} --prune_criterion SNIP", False),
        (f"{SETTINGS} --lp_power 1", False),  # an option of a component
        (f"{SETTINGS} --precision bf16", False),
        ("--model MLP5 --data_set DIGITS --epochs 3", False),
    ],
)
def test_a_run_is_used_again_if_all_that_matters_is_the_same(finished, command, same):
    assert finished(command) == same


def test_of_several_the_one_that_finished_last_is_used(finished, make_run, make_settings):
    older = make_settings(SETTINGS)["results_dir"]
    first = finished_run(make_settings(SETTINGS))
    folders = [first]
    for _ in range(2):
        run = make_run(SETTINGS)
        run.folder.describe([], run.settings, {})
        (run.folder.models / "LeNet300_finished.json").write_text("{}")
        folders.append(run.folder.path)
    assert all(folder.parent == older for folder in folders)
    for newest in folders:
        for folder in folders:
            time = 2e9 if folder == newest else 1e9
            os.utime(folder / "models" / "LeNet300_finished.json", (time, time))
        assert finished_run(make_settings(SETTINGS)) == newest


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_a_folder_whose_arguments_cannot_be_read_is_passed_over(finished, make_settings, content):
    settings = make_settings(SETTINGS)
    broken = settings["results_dir"] / "broken"
    for part in ("models", "output"):
        (broken / part).mkdir(parents=True)
    (broken / "models" / "LeNet300_finished.json").write_text(json.dumps({}))
    (broken / "output" / "arguments.json").write_text(content)
    assert finished(SETTINGS)
