"""Run folders that were altered, with checksums that fit: one line that names what, and nothing is touched."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

import secateur
from secateur.runs.checkpoint import write_tensors
from secateur.runs.files import LARGEST_TEXT, read_checksummed, write_checksummed
from secateur.utils.errors import UserError
from tests.altered_runs import RUNS, Interrupted, survives
from tests.commands import QUICK
from tests.fuzzing import cases
from tests.resuming.interruptions import SHORT, assert_same, states


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """An interrupted run and a finished one."""
    return Interrupted(tmp_path_factory.mktemp("runs"), RUNS[0])


@settings(cases(12), deadline=None)  # a report draws figures
@given(st.data())
def test_any_value_may_be_any_other(interrupted, tmp_path_factory, data):
    survives(interrupted, data.draw, tmp_path_factory.mktemp("altered"))


def alter_tree(folder, change):
    """Change what the last state says, under a checksum that fits."""
    path = states(folder)[-1]
    with safe_open(path, "pt") as file:
        tree = file.metadata()["tree"]
    facts = read_checksummed(path.with_suffix(".json"))
    facts.pop("crc32")
    write_tensors(path.with_suffix(""), load_file(path), facts, {"tree": change(tree)})


def alter_entry(name, value):
    """What changes an entry of the tree: `{"dict": [[name, value], ...]}`."""

    def change(tree):
        tree = json.loads(tree)
        for pair in tree["dict"]:
            if pair[0] == name:
                pair[1] = value
        return json.dumps(tree)

    return change


def refused(run, folder, *named):
    outcome = run(f"--resume {folder.name}")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1), outcome.err
    for text in named:
        assert text in outcome.err
    assert str(folder) in outcome.err
    return outcome.err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (alter_entry("epoch", "x"), "its epoch is 'x'"),
        (alter_entry("epoch", -5), "its epoch is -5"),
        (alter_entry("epoch", 10**6), "its epoch is 1000000"),
        (alter_entry("seconds", float("nan")), "its seconds is nan"),
        (alter_entry("notices", [1]), "its notices is [1]"),
        (alter_entry("trainer", []), "trainer is []"),
        (alter_entry("random", {"dict": []}), "does not fit the run: KeyError: 'python'"),
        (lambda tree: tree.replace('"step", 8', '"step", -8'), "step -8 of training"),
        (lambda tree: tree.replace('["last_epoch"', '["step"'), "schedule has 'step'"),
    ],
)
def test_a_state_that_no_run_writes(run, stopped, change, named):
    folder = stopped()
    alter_tree(folder, change)
    before = (folder / "output" / "metrics.csv").read_text()
    refused(run, folder, named)
    assert (folder / "output" / "metrics.csv").read_text() == before


def test_of_a_state_that_cannot_be_read_the_one_before_is_used(run, stopped):
    whole, folder = run(SHORT), stopped()
    alter_tree(folder, lambda _: "[" * 100_000)
    resumed = run(f"--resume {folder.name}")
    assert resumed.status == 0, resumed.err
    assert "it is nested too deeply" in resumed.out
    assert_same(whole.folder, folder)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"device": "\x1b[2Jcpu"}, "device: '\\x1b[2Jcpu' is not auto, cpu"),
        ({"epochs": "x"}, "epochs: 'x' is not"),
        ({"epochs": -5}, "epochs: -5 is out of range"),
        ({"explicit": [1]}, "these are not the arguments of a run"),
        ({"explicit": ["nonsense"]}, "unknown flag --nonsense"),
        ({"eval": "x"}, "eval: 'x' is not True or False"),
        ({"optimizer": ["SGD"]}, "optimizer: ['SGD'] is not a text"),
        ({"model": "Nonsense"}, "there is no network 'Nonsense'"),
    ],
)
def test_arguments_that_no_command_gives(run, stopped, changed, named):
    folder = stopped()
    path = folder / "output" / "arguments.json"
    write_checksummed(path, {**read_checksummed(path), **changed})
    outcome = run(f"--resume {folder.name}")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1), outcome.err
    assert named in outcome.err


@pytest.mark.parametrize("words", ["--grid x.toml", "--list", "--help", "--seed 1,2", "--resume latest", "--dry_run"])
def test_the_command_of_something_else(run, stopped, words):
    folder = stopped()
    (folder / "output" / "calling_command.txt").write_text(f"python3 main.py {words}\n")
    refused(run, folder, "calling_command.txt", words.split()[0].split(",")[0])


def test_an_empty_folder_of_states_begins_no_finished_run_anew(run):
    folder = run(SHORT).folder
    (folder / "state").mkdir()
    before = (folder / "output" / "results.json").read_bytes()
    refused(run, folder, "has finished: there is nothing to continue")
    assert "there is no interrupted run" in run("--resume latest").err
    assert (folder / "output" / "results.json").read_bytes() == before


@pytest.mark.parametrize("name", ["arguments.json", "calling_command.txt"])
def test_a_sparse_file_of_40_gib_is_not_read(run, stopped, name):
    folder = stopped()
    os.truncate(folder / "output" / name, 40 * 2**30)
    refused(run, folder, name, "42,949,672,960 bytes")
    assert LARGEST_TEXT < 40 * 2**30


def test_a_sparse_state_of_a_pebibyte_is_not_read(run, stopped):
    folder = stopped()
    for path in states(folder):
        os.truncate(path, 2**43)
    refused(run, folder, "holds 8,796,093,022,208 bytes")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"input_shape": [1, 8]}, "its input_shape is [1, 8]"),
        ({"input_shape": [1, 8, 4097]}, "its input_shape is"),
        ({"num_classes": True}, "its num_classes is True"),
        ({"options": {"nonsense": 1}}, "LogisticRegression does not work"),
        ({"options": []}, "its options is []"),
    ],
)
def test_a_network_that_no_checkpoint_holds(run, changed, named):
    folder = run(f"--model LogisticRegression --epochs 1 --N 64 {QUICK}").folder
    path = folder / "models" / "LogisticRegression_finished.json"
    write_checksummed(path, {**read_checksummed(path), **changed})
    for place in (folder, path):
        with pytest.raises(UserError) as caught:
            secateur.load(place)
        assert named in str(caught.value)
    outcome = run(f"--eval --checkpoint_name {folder.name}")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1), outcome.err
