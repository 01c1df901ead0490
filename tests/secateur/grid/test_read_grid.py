"""Which runs a command line and a file ask for."""

import json
import os
from pathlib import Path

import pytest

from secateur.config.parser import Parser
from secateur.config.registry import Registry
from secateur.config.source import ClassSource
from secateur.grid.combinations import flags_of
from secateur.grid.read_grid import read_grid
from secateur.hooks import plugin_manager
from secateur.utils.errors import UserError

ROOT = Path(__file__).parents[3]


def grid(command):
    hooks, _ = plugin_manager()
    return read_grid(command.split(), Registry(hooks), hooks)


def settings(command, *flags):
    """Of each run the values of some flags, "" for those it has not."""
    return [tuple(" ".join(trial.settings.get(flag, ())) for flag in flags) for trial in grid(command).trials]


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "grid.toml").write_text(text)
        return f"--grid {tmp_path / 'grid.toml'}"

    return write


def test_several_values_of_flags_make_the_product_and_the_last_flag_varies_fastest():
    command = "--model LeNet300 --prune_criterion rand,mag,snip,grasp,synflow --compression 1,2,5,10,15,20 --seed 1,2,3"
    found = settings(command, "prune_criterion", "compression", "seed")
    assert len(found) == len(set(found)) == 90
    assert found[:4] == [("rand", "1", "1"), ("rand", "1", "2"), ("rand", "1", "3"), ("rand", "2", "1")]
    assert found[-1] == ("synflow", "20", "3")
    assert grid(command).varying == ["prune_criterion", "compression", "seed"]
    assert settings("--pruner-list rand mag --compression_list 2 5", "prune_criterion", "compression") == [
        ("rand", "2"),
        ("rand", "5"),
        ("mag", "2"),
        ("mag", "5"),
    ]


@pytest.mark.parametrize(
    "command",
    [
        "--model LeNet300 --seed 1",
        "--model LeNet300 --lr_schedule steps:60,120x0.1",
        "--model LeNet300 --run_name a,b",
        "--model LeNet300 --data_dir /a,b",
        "--eval --checkpoint_name a,b --checkpoint_model c,d --attack FGSM,LinfPGD --attack_epsilons 0.1,8/255",
        "--export onnx,torch_export",
        "--report here there",
        "--list models",
    ],
)
def test_a_comma_within_one_value_makes_no_grid(command):
    assert grid(command) is None


def test_an_option_of_a_component_that_takes_a_list_makes_no_grid(tmp_path):
    metadata = {"format": 1, "model": "MLP5", "data_set": "RUBBISH", "input_shape": [3, 16, 16], "num_classes": 12}
    (tmp_path / "run" / "models").mkdir(parents=True)
    (tmp_path / "run" / "models" / "MLP5_finished.json").write_text(json.dumps({**metadata, "options": {}}))
    options = "--test_scheme Corruption --corruptions blur,contrast"
    command = f"--eval --results_dir {tmp_path} --checkpoint_name latest {options}"
    assert grid(command) is None
    two = grid(f"{command} --seed 1,2")
    assert [trial.settings["corruptions"] for trial in two.trials] == [("blur,contrast",)] * 2
    assert two.trials[0].settings["checkpoint_name"] == (str(tmp_path / "run"),), (
        "it is not latest in the grid's folder"
    )


def test_a_flag_for_many_runs_makes_a_grid_of_one():
    assert settings("--model LeNet300 --jobs 1", "model") == [("LeNet300",)]


def test_an_option_goes_to_the_runs_whose_components_know_it():
    command = "--model LeNet300 --prune_criterion SNIP,GRASP --grasp_temperature 100,200"
    assert settings(command, "prune_criterion", "grasp_temperature") == [
        ("SNIP", ""),
        ("GRASP", "100"),
        ("GRASP", "200"),
    ]
    assert grid(command).partial == {"grasp_temperature": 2}


FILE = """
[common]
model = "LeNet300"
seed = [1, 2]
outer-layer-pruning = true

[[section]]
prune_criterion = ["rand", "mag"]
compression = [2, 50]

[[section]]
prune_criterion = "EmptyCrit"
tuning = [true, false]

[[exclude]]
prune_criterion = "UnstructuredRandom"
compression = [50, 100]

[for.prune_criterion.Magnitude]
pre_epochs = 200
"""


def test_sections_exclusions_and_settings_of_a_criterion(write):
    flags = "prune_criterion", "compression", "seed", "pre_epochs"
    assert settings(write(FILE), *flags)[:6] == [
        ("rand", "2", "1", ""),
        ("rand", "2", "2", ""),
        ("mag", "2", "1", "200"),
        ("mag", "2", "2", "200"),
        ("mag", "50", "1", "200"),
        ("mag", "50", "2", "200"),
    ]
    dense = [trial.settings for trial in grid(write(FILE)).trials[6:]]
    assert [("tuning" in one, one["seed"], one["prune_criterion"]) for one in dense] == [
        (True, ("1",), ("EmptyCrit",)),
        (True, ("2",), ("EmptyCrit",)),
        (False, ("1",), ("EmptyCrit",)),
        (False, ("2",), ("EmptyCrit",)),
    ]
    assert all("outer_layer_pruning" in trial.settings for trial in grid(write(FILE)).trials)


def test_the_command_line_goes_over_the_file(write):
    command = f"{write(FILE)} --prune_criterion mag --seed 7 --pre_epochs 3"
    found = settings(command, "prune_criterion", "compression", "seed", "pre_epochs")
    assert found[:2] == [("mag", "2", "7", "3"), ("mag", "50", "7", "3")]
    assert len(found) == 4


def test_lists_within_a_list_are_several_values_of_a_flag_that_takes_one(write):
    text = '[common]\nmodel = "LeNet300"\ninput_dim = [[1, 8, 8], [3, 32, 32]]\nlr_schedule = ["constant", "cosine"]\n'
    found = settings(write(text), "input_dim", "lr_schedule")
    assert found == [("1 8 8", "constant"), ("1 8 8", "cosine"), ("3 32 32", "constant"), ("3 32 32", "cosine")]
    assert settings(write(text.replace("[[1, 8, 8], [3, 32, 32]]", "[1, 8, 8]")), "input_dim")[0] == ("1 8 8",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("common = [", "is not TOML: "),
        ("[comon]\nseed = 1", "a grid has no 'comon': did you mean common"),
        ("[section]\nseed = 1", "section is written [[section]]"),
        ("[common]\nseed = 2020-01-01", "common: seed must be text, numbers"),
        ("[common]\nsede = 1", "unknown flag --sede in all of these runs: did you mean --seed"),
        ("[common]\nseed = 'x'", "--seed: 'x' is not a whole number"),
        ("[common]\njobs = 2", "jobs belongs on the command line"),
        ("[common]\ntuning = 1", "tuning = 1: it is true or false"),
        ("[common]\nseed = true", "seed = True: it takes a value"),
        ("[common]\npruner = 'mag'\nprune_criterion = 'mag'", "mean the same: give only one"),
        ("[[exclude]]\nseed = 9", "exclude 1 is of no run of this grid"),
        ("[for.prune_criterion.mag]\nseed = 9", "for.prune_criterion.mag is of no run of this grid"),
        ("[for.prune_criterion]\nmag = 9", "for.prune_criterion.mag must hold flags"),
        ("[common]\nseed = [1, 2]\n[[exclude]]\nseed = [1, 2]", "the exclusions leave no run"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(write, text, message):
    command = write(text)
    with pytest.raises(UserError) as raised:
        grid(f"{command} --model LeNet300")
    assert message in str(raised.value)
    assert f"--grid {command.split()[1]}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--grid /nowhere.toml", "--grid /nowhere.toml: No such file"),
        ("--seed 1,x", "--seed: 'x' is not a whole number (of the run of seed x)"),
        ("--seed 1,,2", "--seed 1,,2: a value is missing beside a comma"),
        ("--pruner_list mag ,", "--pruner_list: one of its values is empty"),
        ("--prune_criterion SNIP,SNOP", "there is no criterion 'SNOP': did you mean"),
        ("--prune_criterion SNIP,GRASP --grasp_temprature 1", "unknown flag --grasp_temprature in all"),
        ("--compression 2,5 --pruning_limit 0.5", "--compression and --pruning_limit"),
        ("--pruner_list rand mag --pruner snip", "mean the same: give only one"),
        ("--seed 1,2 --engine fast", "--engine: 'fast' is not one of local, ray, slurm"),
        ("--seed 1,2 --slurm_local", "--slurm_local is for --engine slurm"),
        ("--seed 1,2 --gpus_per_run 1", "--gpus_per_run is for --engine ray or slurm"),
        ("word --seed 1,2", "'word' is the value of no flag"),
    ],
)
def test_what_is_wrong_in_any_run_is_one_line(command, message):
    with pytest.raises(UserError) as raised:
        grid(command)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[common]\nseed = " + "[" * 100_000, "is not TOML"),
        ("[common]\nseed = " + "{a=" * 50_000, "is not TOML"),
        ("[common]\nseed = " + "1" * 5000, "is not TOML"),
        (f"seed{'.a' * 100_000} = 1", "line 1 has more than 200 dots"),
        (f"[common]\nseed = 1\n[for{'.a' * 300}]", "line 3 has more than 200 dots"),
        (
            f"[common]\nseed = {[*range(300)]}\nepochs = {[*range(400)]}",
            "make 120,000 combinations, but a grid has at most 100,000",
        ),
        ("[[section]]\nseed = 1\n" * 50_000, "has 1,050,000 bytes, and the file of a grid 1,000,000 at most"),
    ],
)
def test_a_file_that_takes_for_ever_is_refused(write, text, message):
    with pytest.raises(UserError, match=message) as raised:
        grid(write(text))
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "grid.toml")
    with pytest.raises(UserError, match="it is not a file"):
        grid(f"--grid {tmp_path / 'grid.toml'}")


def test_the_same_command_has_the_same_folder_and_runs_of_the_same_settings_the_same_key():
    one, other = grid("--model LeNet300 --seed 1,2"), grid("--seed 2,1 --model LeNet300")
    assert one.folder == other.folder
    assert one.folder.name.startswith("grid_")
    assert [trial.key for trial in one.trials] == [trial.key for trial in reversed(other.trials)]
    more = grid("--model LeNet300 --seed 1,2,3 --results_dir /tmp/x --run_name mine")
    assert more.folder == Path("/tmp/x/grid_mine")
    assert [trial.key for trial in more.trials[:2]] == [trial.key for trial in one.trials]


def test_labels_are_readable_fit_into_a_file_name_and_end_in_the_key():
    trials = grid("--model LeNet300,torchvision:vgg11 --seed 0,1 --input_dim 3 32 32").trials
    assert trials[0].label == f"LeNet300_seed-0_{trials[0].key}"
    assert trials[2].label == f"torchvision-vgg11_seed-0_{trials[2].key}"


def test_words_are_grouped_by_flag():
    found = dict(flags_of(["--input-dim", "3", "8", "8", "--tuning", "--grad_noise", "-0.5", "--seed=1"]))
    assert found == {"input_dim": ("3", "8", "8"), "tuning": (), "grad_noise": ("-0.5",), "seed": ("1",)}


def test_each_file_is_read_and_each_parser_built_once_for_however_many_runs(monkeypatch):
    built, read, init, declared = [], [], Parser.__init__, ClassSource.declared
    monkeypatch.setattr(Parser, "__init__", lambda self, *options: built.append(1) or init(self, *options))
    monkeypatch.setattr(ClassSource, "declared", lambda self: read.append(self.name) or declared(self))
    counts = []
    for seeds in ("1,2", ",".join(map(str, range(50)))):
        built.clear()
        read.clear()
        found = grid(f"--model LeNet300 --prune_criterion SNIP,GRASP --grasp_temperature 1,2 --seed {seeds}")
        counts.append((len(built), len(read), len(set(read))))
    assert len(found.trials) == 150
    assert counts[1][0] <= counts[0][0]
    assert counts[1][1:] == counts[0][1:]
    assert counts[1][1] == counts[1][2]


def test_an_option_of_all_components_is_no_option_of_some():
    assert grid("--prune_criterion GRASP,SNIP --grasp_temperature 1 --seed 1").partial == {"grasp_temperature": 1}
    assert grid("--prune_criterion GRASP --grasp_temperature 1,2 --seed 1").partial == {}


@pytest.mark.parametrize(("flags", "anyway"), [("", False), (" --resume_anyway", True)])
def test_only_who_says_so_goes_on_with_altered_code(flags, anyway):
    found = grid(f"--model LeNet300 --seed 1,2{flags}").trials
    assert [trial.resume_anyway for trial in found] == [anyway, anyway]
    assert all("resume_anyway" not in trial.settings for trial in found)
