"""Which folders and checkpoints are meant by what is typed, and what a checkpoint's json may say."""

import os
import re
from contextlib import nullcontext

import pytest

from secateur.runs.checkpoint_metadata import (
    check_network,
    find_checkpoint,
    find_external,
    folders_named,
    is_smoke,
    read_metadata,
    states_in,
)
from secateur.runs.files import write_checksummed
from secateur.utils.errors import UserError

FACTS = {"format": 1, "model": "Tiny", "input_shape": [1, 2, 3], "num_classes": 3, "options": {}, "data_set": "DIGITS"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results beside another folder, which is the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "results"


def make(folder, *names, **facts):
    """Make a run folder with checkpoints of these names."""
    (folder / "models").mkdir(parents=True)
    for name in names:
        write_checksummed(folder / "models" / f"{name}.json", FACTS | facts)
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a,b,c", ["a,b,c"]),
        ("a,b,d", ["a,b", "d"]),
        ("d,a,b,c,a", ["d", "a,b,c", "a"]),
        ("a,c,b", ["a", "c", "b"]),
        ("e,f", ["e,f"]),
        ("x,y", ["x", "y"]),
        (f"a,{'x' * 5000},b", ["a", "x" * 5000, "b"]),
        ("", [""]),
    ],
)
def test_of_folders_between_commas_the_longest_name_that_is_there_counts(results, names, expected):
    for folder in ("a", "a,b", "a,b,c", "d"):
        make(results / folder)
    make(results.parent / "here" / "e,f")
    (results / "x,y").mkdir()  # without models/
    assert folders_named(results, names) == expected


def test_a_run_of_the_results_goes_before_one_of_the_current_folder(results):
    make(results.parent / "here" / "run", "Tiny_finished")
    assert find_checkpoint(results, "run", None).path == results.parent / "here" / "run" / "models" / "Tiny_finished"
    make(results / "run", "Tiny_finished")
    assert find_checkpoint(results, "run", None).path == results / "run" / "models" / "Tiny_finished"


def test_of_two_finished_networks_the_first_by_name_is_meant(results):
    folder = make(results / "run", "c_finished", "a_finished", "b_finished", "a", "A_last")
    (folder / "models" / "0_finished.safetensors").write_bytes(b"")
    assert find_checkpoint(results, "run", None).path.name == "a_finished"
    assert find_checkpoint(results, "run", "A_last").path.name == "A_last"


@pytest.mark.parametrize(
    ("run", "model", "message"),
    [
        ("none", None, "{0}/none has no finished network (it holds no checkpoint): name one with --checkpoint_model"),
        (
            "going",
            None,
            "{0}/going has no finished network (there is best, last, zero): name one with --checkpoint_model",
        ),
        ("going", "lost", "--checkpoint_model: {0}/going/models holds no 'lost': did you mean last, best?"),
        ("gonig", None, "--checkpoint_name: there is no run folder 'gonig' in {0}: did you mean going?"),
        ("latest", None, "--checkpoint_name latest: no run in {0} has finished yet"),
        ("x" * 5000, None, f"--checkpoint_name: File name too long: '{'x' * 50}'"),
    ],
)
def test_what_is_not_there_is_told_in_full(results, run, model, message):
    make(results / "none")
    make(results / "going", "zero", "last", "best")
    with pytest.raises(UserError, match=f"^{re.escape(message.format(results))}$"):
        find_checkpoint(results, run, model)


def test_the_latest_is_named_by_time_and_of_smoke_runs_the_last_is_told(results):
    for number, name in enumerate(["b", "c", "a"]):
        folder = make(results / name, "Tiny_finished")
        os.utime(folder / "models" / "Tiny_finished.json", (1000 + number, 1000 + number))
    assert find_checkpoint(results, "latest", None).path.parent.parent.name == "a"
    (results / "a" / "output").mkdir()
    (results / "a" / "output" / "arguments.json").write_text("not a json")
    assert find_checkpoint(results, "latest", None).path.parent.parent.name == "a"
    for name in "abc":
        write_checksummed(results / name / "output" / "arguments.json", {"smoke": True})
    with pytest.raises(UserError) as caught:
        find_checkpoint(results, "latest", None)
    assert str(caught.value) == (
        f"--checkpoint_name latest: no run in {results} has finished yet but smoke runs, as a, which are named by "
        "their folder"
    )


@pytest.mark.parametrize(("said", "expected"), [({"smoke": True}, True), ({"smoke": False}, False), ({}, False)])
def test_whether_a_run_is_a_quick_trial_stands_in_its_arguments(tmp_path, said, expected):
    assert is_smoke(tmp_path) is False
    write_checksummed(tmp_path / "output" / "arguments.json", said)
    assert is_smoke(tmp_path) is expected


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"input_shape": [1, 1, 4096]},
        {"input_shape": None},
        {"cuts": []},
        {"cuts": [[]]},
        {"cuts": [[["conv1", [0, 3]], ["conv2", []]], [["fc", [10_000_000]]]]},
    ],
)
def test_what_a_checkpoint_may_say_is_returned_without_its_checksum(tmp_path, said):
    write_checksummed(tmp_path / "Tiny.1.json", FACTS | said)
    assert read_metadata(tmp_path / "Tiny.1") == FACTS | said


LONG = "x" * 100


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"format": 2}, "its format is 2, and this version reads 1"),
        ({"model": 3}, "its model is 3"),
        ({"model": [LONG]}, f"its model is ['{'x' * 75}"),
        ({"input_shape": 3}, "its input_shape is 3"),
        ({"input_shape": "123"}, "its input_shape is '123'"),
        ({"input_shape": [1, 2, 0]}, "its input_shape is [1, 2, 0]"),
        ({"input_shape": [1, 4097, 2]}, "its input_shape is [1, 4097, 2]"),
        ({"input_shape": [1, 2.0, 2]}, "its input_shape is [1, 2.0, 2]"),
        ({"cuts": 3}, "its cuts is 3"),
        ({"cuts": {}}, "its cuts is {}"),
        ({"cuts": [3]}, "its cuts is [3]"),
        ({"cuts": [[["a", [1]]], 3]}, "its cuts is [[['a', [1]]], 3]"),
        ({"cuts": [[["a", [1]], "a"]]}, "its cuts is [[['a', [1]], 'a']]"),
        ({"cuts": [["ab"]]}, "its cuts is [['ab']]"),
        ({"cuts": [[["a"]]]}, "its cuts is [[['a']]]"),
        ({"cuts": [[["a", [1], 2]]]}, "its cuts is [[['a', [1], 2]]]"),
        ({"cuts": [[[1, [1]]]]}, "its cuts is [[[1, [1]]]]"),
        ({"cuts": [[["a", 1]]]}, "its cuts is [[['a', 1]]]"),
        ({"cuts": [[["a", "1"]]]}, "its cuts is [[['a', '1']]]"),
        ({"cuts": [[["a", [1, -1]]]]}, "its cuts is [[['a', [1, -1]]]]"),
        ({"cuts": [[["a", [1, 10_000_001]]]]}, "its cuts is [[['a', [1, 10000001]]]]"),
        ({"cuts": [[["a", [True]]]]}, "its cuts is [[['a', [True]]]]"),
    ],
)
def test_what_no_checkpoint_says_is_refused_by_name(tmp_path, said, reason):
    write_checksummed(tmp_path / "Tiny.json", FACTS | said)
    with pytest.raises(UserError) as caught:
        read_metadata(tmp_path / "Tiny")
    assert str(caught.value) == f"the checkpoint {tmp_path}/Tiny.json cannot be read: {reason}"


@pytest.mark.parametrize("said", [{"num_classes": 1}, {"num_classes": 1_000_000}, {"input_shape": [4096, 1, 1]}])
def test_a_network_is_one_of_an_image_and_of_some_classes(said):
    expected = {**FACTS, **said}
    assert check_network({name: value for name, value in expected.items() if name != "options"}) == {
        **expected,
        "input_shape": tuple(expected["input_shape"]),
    }


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"model": None}, "its model is None"),
        ({"input_shape": [1, 2, 3, 4]}, "its input_shape is [1, 2, 3, 4]"),
        ({"input_shape": "abc"}, "its input_shape is 'abc'"),
        ({"num_classes": 0}, "its num_classes is 0"),
        ({"num_classes": 1_000_001}, "its num_classes is 1000001"),
        ({"options": []}, "its options is []"),
    ],
)
def test_what_says_not_how_a_network_is_built_is_refused(said, reason):
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        check_network(FACTS | said)
    name = next(iter(said))
    with pytest.raises(ValueError, match=rf"^its {name} is missing$") if name != "options" else nullcontext():
        check_network({other: value for other, value in FACTS.items() if other != name})


@pytest.mark.parametrize("seed", [0, 4_294_967_295])
def test_any_seed_of_the_command_line_may_stand_in_a_checkpoint(results, seed):
    make(results / "run", "Tiny_finished", seed=seed)
    assert find_checkpoint(results, "run", None).metadata == {**FACTS, "seed": seed, "input_shape": (1, 2, 3)}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"seed": 4_294_967_296}, "its seed is 4294967296"),
        ({"data_dir": 3}, "its data_dir is 3"),
        ({"data_options": []}, "its data_options is []"),
        ({"prune_criterion": None}, "its prune_criterion is None"),
        ({"num_classes": "3"}, "its num_classes is '3'"),
    ],
)
def test_what_no_run_writes_is_refused(results, said, reason):
    make(results / "run", "Tiny_finished", **said)
    with pytest.raises(UserError, match=f"/Tiny_finished.json cannot be read: {re.escape(reason)}$"):
        find_checkpoint(results, "run", None)


def test_states_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("state_10.json", "state_9.json", "state_11.json", "state_12.safetensors", "notes.json"):
        (tmp_path / name).write_text("")
    assert [path.name for path in states_in(tmp_path)] == ["state_9", "state_10", "state_11"]
    assert states_in(tmp_path / "nowhere") == []


def test_a_file_of_weights_is_known_by_its_ending_in_any_letters(results):
    (results.parent / "here" / "A.PTH").write_bytes(b"")
    assert find_external(results, None, "A.PTH") == results.parent / "here" / "A.PTH"
    for ending in ("pth", "pt", "pth.tar", "ckpt", "safetensors"):
        (results.parent / "here" / f"b.{ending}").write_bytes(b"")
        assert find_external(results, None, f"b.{ending}") == results.parent / "here" / f"b.{ending}"
    assert find_external(results, None, None) is None
    with pytest.raises(UserError) as caught:
        find_external(results, None, "../here/c.pth")
    assert str(caught.value) == (
        f"--checkpoint_model: there is not a file {results.parent}/here/../here/c.pth: did you mean b.pth, b.pt, "
        "b.pth.tar?"
    )
