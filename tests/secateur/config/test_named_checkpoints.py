"""What a checkpoint that a command names says in place of flags, and how several are named."""

import json

import pytest

from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError


def checkpoint(folder, **metadata):
    """Write the json of a checkpoint, which is all that the command line reads."""
    known = {"format": 1, "model": "MLP5", "data_set": "RUBBISH", "input_shape": [3, 16, 16], "num_classes": 12}
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "MLP5_finished.json").write_text(json.dumps({**known, "options": {}, **metadata}))
    return folder


def test_a_checkpoint_names_components_whose_options_can_be_typed(make_settings, tmp_path):
    folder = checkpoint(tmp_path / "results" / "run", seed=7)
    for name in ("run", "latest", str(folder)):
        settings = make_settings(f"--eval --checkpoint_name {name} --rubbish_images 50")
        assert (settings["model"], settings["data_set"], settings["rubbish_images"]) == ("MLP5", "RUBBISH", 50)
        assert (settings["input_dim"], settings["output_dim"], settings["seed"]) == ([3, 16, 16], 12, 7)
        assert settings["checkpoint_name"] == str(folder)
        assert settings["checkpoint_model"] == "MLP5_finished"
        assert settings.checkpoint.path.parent.parent == folder
        assert (settings.components["model"].name, settings.components["data_set"].name) == ("MLP5", "RUBBISH")
        assert "model" not in settings.given
    assert make_settings("--eval --checkpoint_name run --seed 1")["seed"] == 1
    assert make_settings("--checkpoint_name run")["seed"] == 333
    assert "--rubbish_images" in make_settings("--eval --checkpoint_name run --help").help


def test_what_is_typed_wins_over_the_checkpoint(make_settings, tmp_path):
    checkpoint(tmp_path / "results" / "run", loss="Unheard")
    settings = make_settings("--eval --checkpoint_name run --data_set DIGITS --loss CrossEntropy --output_dim 10")
    assert (settings["data_set"], settings["loss"], settings["output_dim"]) == ("DIGITS", "CrossEntropy", 10)
    with pytest.raises(UserError, match="no loss 'Unheard'"):
        make_settings("--eval --checkpoint_name run")
    with pytest.raises(UserError, match="unknown flag --rubbish_images"):
        make_settings("--eval --checkpoint_name run --data_set DIGITS --loss CrossEntropy --rubbish_images 5")


def test_what_a_component_implies_wins_over_the_checkpoint_and_what_is_typed_over_both(make_settings, tmp_path):
    checkpoint(tmp_path / "results" / "run", loss="L0CrossEntropy")
    command = "--eval --checkpoint_name run"
    assert make_settings(command)["loss"] == "L0CrossEntropy"
    assert make_settings(f"{command} --hoyer_square")["loss"] == "HoyerSquareCrossEntropy"
    assert make_settings(f"{command} --hoyer_square --loss CrossEntropy")["loss"] == "CrossEntropy"
    assert make_settings("--checkpoint_name run")["loss"] == "CrossEntropy"  # to be trained on


def named(settings):
    return [(one.path.parent.parent.name, one.path.name) for one in settings.checkpoints]


def test_several_checkpoints_are_compared_one_by_one_or_all_with_one(make_settings, tmp_path):
    for name in ("a", "b"):
        folder = checkpoint(tmp_path / "results" / name)
        content = (folder / "models" / "MLP5_finished.json").read_text()
        (folder / "models" / "MLP5_epoch_0.json").write_text(content)
    eval_of = "--eval --checkpoint_name"
    assert named(make_settings(f"{eval_of} a,b")) == [("a", "MLP5_finished"), ("b", "MLP5_finished")]
    both = make_settings(f"{eval_of} a,b --checkpoint_model MLP5_epoch_0,MLP5_finished")
    assert named(both) == [("a", "MLP5_epoch_0"), ("b", "MLP5_finished")]
    assert both["checkpoint_model"] == "MLP5_epoch_0,MLP5_finished"
    assert both["checkpoint_name"] == ",".join(str(tmp_path / "results" / name) for name in ("a", "b"))
    assert named(make_settings(f"{eval_of} a --checkpoint_model MLP5_epoch_0,MLP5_finished")) == [
        ("a", "MLP5_epoch_0"),
        ("a", "MLP5_finished"),
    ]
    assert named(make_settings(f"{eval_of} b,a --checkpoint_model MLP5_epoch_0")) == [
        ("b", "MLP5_epoch_0"),
        ("a", "MLP5_epoch_0"),
    ]
    assert make_settings(f"{eval_of} b,a").checkpoint.path.parent.parent.name == "b"
    with pytest.raises(UserError, match=r"name 2 runs and 3 models: as many of both, or one of either$"):
        make_settings(f"{eval_of} a,b --checkpoint_model x,y,z")
    with pytest.raises(UserError, match=r"^--checkpoint_name: training starts from one checkpoint, not 2$"):
        make_settings("--checkpoint_name a,b")


def test_the_options_of_the_data_set_are_those_of_the_checkpoint(make_settings, tmp_path):
    checkpoint(tmp_path / "results" / "run", disable_autoconfig=True, data_options={"rubbish_images": 70, "N": 3})
    settings = make_settings("--checkpoint_name run")
    assert (settings["disable_autoconfig"], settings["rubbish_images"], settings["N"]) == (True, 70, None)
    assert make_settings("--checkpoint_name run --rubbish_images 50")["rubbish_images"] == 50
    checkpoint(tmp_path / "results" / "other")
    assert make_settings("--checkpoint_name other")["disable_autoconfig"] is False


def test_the_place_of_the_data_is_that_of_the_checkpoint_where_it_is_still_there(tmp_path):
    (tmp_path / "images").mkdir()
    hooks = empty_manager()
    for number, (place, taken) in enumerate([("images", True), ("gone", False)]):
        checkpoint(tmp_path / f"run{number}", data_dir=str(tmp_path / place))
        settings = parse(["--checkpoint_name", str(tmp_path / f"run{number}")], Registry(hooks), hooks)
        assert (settings["data_dir"] == tmp_path / place) is taken
        assert settings["data_dir"].is_absolute()
        assert "data_dir" not in settings.given


def test_attacks_name_their_tester_and_are_refused_with_another(make_settings, tmp_path):
    checkpoint(tmp_path / "results" / "run")
    evaluation = "--eval --checkpoint_name run"
    settings = make_settings(f"{evaluation} --attack FGSM --attack_samples 5")
    assert (settings["test_scheme"], settings.components["test_scheme"].name) == ("AdversarialEvaluation",) * 2
    assert settings.given == {"eval", "checkpoint_name", "attack", "attack_samples"}
    refused = {
        "--attack FGSM": "--attack is for --eval: name a finished run with --checkpoint_name",
        f"{evaluation} --attack_samples 5": "--attack_samples is for the tester AdversarialEvaluation: "
        "give --attack too",
        f"{evaluation} --attack FGSM --test_scheme Speed": "--attack is for the tester AdversarialEvaluation: "
        "leave --test_scheme out",
    }
    for command, message in refused.items():
        with pytest.raises(UserError) as raised:
            make_settings(command)
        assert str(raised.value) == message
