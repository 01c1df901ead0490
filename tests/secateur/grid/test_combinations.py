"""Which values of flags are combined, in which order, and what goes over what."""

from pathlib import Path

import pytest

from secateur.config.registry import Registry
from secateur.grid.combinations import Reader, flags_of
from secateur.hooks import plugin_manager
from secateur.utils.errors import UserError
from tests.secateur.grid.test_read_grid import grid, settings


@pytest.fixture
def reader():
    hooks, _ = plugin_manager()
    return Reader(Registry(hooks), hooks)


@pytest.fixture
def write(tmp_path):
    """Write the file of a grid of LeNet300; returns the words that name it."""

    def write(text):
        (tmp_path / "grid.toml").write_text(f"[common]\nmodel = 'LeNet300'\n{text}")
        return f"--grid {tmp_path / 'grid.toml'}"

    return write


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", []),
        ("--seed 1", [("seed", ("1",))]),
        ("--seed=1 2 --a-b", [("seed", ("1", "2")), ("a_b", ())]),
        ("--seed= -h --_x -0.5", [("seed", ("",)), ("h", ()), ("_x", ("-0.5",))]),
        ("--seed --1 -x -help", [("seed", ("--1", "-x", "-help"))]),
        ("--a=b=c-d", [("a", ("b=c-d",))]),
    ],
)
def test_the_words_that_follow_a_flag_are_its_values(words, found):
    assert list(flags_of(words.split())) == found


def test_a_word_before_all_flags_is_the_value_of_none():
    with pytest.raises(UserError, match=r"^'-1' is the value of no flag: arguments are written --flag value$"):
        list(flags_of(["-1", "--seed"]))


def test_a_flag_has_one_name_and_of_two_the_last_counts_but_in_a_file(reader):
    said = {"dataset": ("a",), "pruner_list": ("mag,", "rand"), "unknown": (), "compression_list": ("2,5",)}
    found = {"data_set": ("a",), "prune_criterion": ("mag,rand",), "unknown": (), "compression": ("2,5",)}
    assert reader.canonical(said) == found
    assert reader.canonical({"dataset": ("a",), "data_set": ("b",)}) == {"data_set": ("b",)}
    for one, other in (("pruner_list", "pruner"), ("pruner", "pruner_list"), ("prune_criterion", "pruner_list")):
        with pytest.raises(UserError, match=rf"^--{one} and --{other} mean the same: give only one$"):
            reader.canonical({one: ("mag",), other: ("mag",)})
    with pytest.raises(UserError, match=r"^--grid x: --dataset and --data_set mean the same: give only one$"):
        reader.canonical({"dataset": "a", "data_set": "b"}, Path("x"))
    with pytest.raises(UserError, match=r"^--grid x: jobs belongs on the command line$"):
        reader.canonical({"resume_anyway": True, "seed": 1, "jobs": 2}, Path("x"))
    with pytest.raises(UserError, match=r"^--compression_list: one of its values is empty$"):
        reader.canonical({"compression_list": ("2", ",")})


@pytest.mark.parametrize(
    ("flag", "value", "found"),
    [
        ("seed", ("1,2",), [("1",), ("2",)]),
        ("seed", ("1", "2"), [("1", "2")]),
        ("tuning", (), [()]),
        ("tuning", True, [()]),
        ("tuning", [False, True], [None, ()]),
        ("seed", 3, [("3",)]),
        ("seed", [3, "4,5"], [("3",), ("4",), ("5",)]),
        ("seed", "", [("",)]),
        ("lr_schedule", "steps:60,120x0.1", [("steps:60,120x0.1",)]),
        ("export", ["onnx", "torch_export"], [("onnx,torch_export",)]),
        ("export", [["onnx"], ["onnx", "torch_export"]], [("onnx",), ("onnx,torch_export",)]),
        ("export", [["onnx"], "torch_export"], [("onnx",), ("torch_export",)]),
        ("input_dim", [1, 8, 8], [("1", "8", "8")]),
        ("input_dim", [[1, 8, 8], [3, 8, 8]], [("1", "8", "8"), ("3", "8", "8")]),
        ("results_dir", ("/a,b",), [("/a,b",)]),
        ("results_dir", ("",), [("",)]),
        ("run_name", ("a/b,c",), [("a/b,c",)]),
    ],
)
def test_values_are_split_where_the_flag_takes_one(reader, flag, value, found):
    assert reader.alternatives(flag, value) == found


@pytest.mark.parametrize("text", ["1,", ",1", "1,,2", ","])
def test_no_value_is_missing_beside_a_comma(reader, text):
    with pytest.raises(UserError, match=rf"^--seed {text}: a value is missing beside a comma$"):
        reader.alternatives("seed", (text,))


def test_a_place_is_where_it_leads_from_here(reader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reader.alternatives("data_dir", ("a",)) == [(str(tmp_path / "a"),)]


def test_as_many_combinations_as_a_grid_may_have_and_one_more(reader):
    values = {"seed": list(range(250)), "epochs": list(range(400))}
    assert next(reader._products(values, reader.options)) == ({"seed": ("0",), "epochs": ("0",)}, {})
    values["epochs"].append(400)
    with pytest.raises(
        UserError, match=r"^these values make 100,250 combinations, but a grid has at most 100,000 runs$"
    ):
        next(reader._products(values, reader.options))


def test_runs_of_two_sections_come_once_and_what_tells_sections_apart_stands_first(write):
    command = write("epochs = 3\n[[section]]\nseed = [1, 2]\nepochs = 4\n[[section]]\nepochs = 4\nseed = [2, 3]")
    assert settings(command, "seed", "epochs") == [("1", "4"), ("2", "4"), ("3", "4")]
    assert list(grid(command).trials[0].settings) == ["seed", "epochs", "model"]
    assert settings(f"{command} --seed 5", "seed", "epochs") == [("5", "4")]


@pytest.mark.parametrize(
    ("exclusion", "left"),
    [
        ("tuning = true", [("-", "0.001"), ("-", "0.1")]),
        ("tuning = false\nl2_reg = 1e-3", [("tuning", "0.001"), ("tuning", "0.1"), ("-", "0.1")]),
        ("l2_reg = ['1e-3', 0.5]", [("tuning", "0.1"), ("-", "0.1")]),
        ("model = ['lenet300', 'LeNet5']\nl2_reg = 0.1", [("tuning", "0.001"), ("-", "0.001")]),
        ("l2_reg = 0.1\n[[exclude]]\ntuning = true", [("-", "0.001")]),
    ],
)
def test_a_run_is_left_out_that_has_all_of_an_exclusion(write, exclusion, left):
    command = write(f"tuning = [true, false]\nl2_reg = [0.001, 0.1]\n[[exclude]]\n{exclusion}")
    found = [("tuning" if "tuning" in one.settings else "-", one.settings["l2_reg"][0]) for one in grid(command).trials]
    assert found == left


def test_what_is_said_for_one_value_goes_over_the_section_and_the_command_line_over_both(write):
    command = write(
        "seed = [1, 2]\nepochs = [3, 4]\n[for.seed.1]\nepochs = 5\nl2_reg = [0.1, 0.2]\n[for.seed.2]\ntuning = true"
    )
    flags = ("seed", "epochs", "l2_reg")
    ones = [("1", "5", "0.1"), ("1", "5", "0.2")]
    twos = [("2", "3", ""), ("2", "4", "")]
    assert settings(command, *flags) == ones + twos
    assert ["tuning" in trial.settings for trial in grid(command).trials] == [False, False, True, True]
    assert settings(f"{command} --epochs 7 --seed 1", *flags) == [("1", "7", "0.1"), ("1", "7", "0.2")]


@pytest.mark.parametrize(
    ("text", "typed", "line"),
    [
        ("[for.grasp_temperature.1]\nseed = 1", "", "for.grasp_temperature: unknown flag --grasp_temperature, or one "
                                                    "that not every run has"),
        ("zzz = 1\nzzy = 1", "", "unknown flag --zzy in all of these runs"),
        ("seed = 1\n[[exclude]]\nseed = 1\nepochs = 9\n[[exclude]]\nepochs = 8", "", "exclude 1 is of no run of this "
                                                                                     "grid"),
        ("seed = 1\nepochs = [8, 9]\n[[exclude]]\nepochs = 9\n[[exclude]]\nepochs = 7", "", "exclude 2 is of no run of "
                                                                                         "this grid"),
        ("seed = [1, 2]\n[for.seed.3]\nepochs = 7", "--epochs 7", "for.seed.3 is of no run of this grid"),
    ],
)  # fmt: skip
def test_what_is_of_no_run_is_refused(write, text, typed, line):
    command = write(text)
    with pytest.raises(UserError) as caught:
        grid(f"{command} {typed}")
    assert str(caught.value).startswith(f"{command}: {line}")


def test_what_the_command_line_has_put_aside_is_no_mistake(write):
    command = write("seed = [1, 2]\nepochs = [3, 4]\n[[exclude]]\nseed = 1\n[for.seed.2]\nl2_reg = 0.5")
    assert settings(command, "seed", "l2_reg") == [("2", "0.5"), ("2", "0.5")]
    assert settings(f"{command} --seed 7", "seed", "epochs", "l2_reg") == [("7", "3", ""), ("7", "4", "")]


def test_options_that_some_runs_know_are_counted(write):
    command = write("prune_criterion = ['SNIP', 'GRASP', 'mag']\ngrasp_temperature = [100, 200]\nseed = [1, 2]")
    assert settings(command, "prune_criterion", "grasp_temperature", "seed") == [
        *(("SNIP", "", seed) for seed in "12"),
        *(("GRASP", temperature, seed) for seed in "12" for temperature in ("100", "200")),
        *(("mag", "", seed) for seed in "12"),
    ]
    assert grid(command).partial == {"grasp_temperature": 4}


@pytest.mark.parametrize(("flags", "name"), [("--seed 1,2", ""), ("--seed 1,2 --run_name mine", "mine")])
def test_a_grid_lies_in_a_folder_of_its_name_or_of_its_runs(tmp_path, flags, name):
    found = grid(f"--model LeNet300 {flags} --results_dir {tmp_path}")
    assert found.folder.parent == tmp_path
    assert found.folder.name == (f"grid_{name}" if name else found.folder.name)
    assert (found.run_name, found.smoke_of, found.asked) == (name, None, False)
    assert found.argv == f"--model LeNet300 {flags} --results_dir {tmp_path}".split()
    assert all({"run_name", "results_dir"}.isdisjoint(trial.settings) for trial in found.trials)
    smoke = grid(f"--model LeNet300 {flags.replace('1,2', '1,2,3,4')} --results_dir {tmp_path} --smoke")
    assert (smoke.smoke_of, smoke.folder.name[-6:]) == (4, "_smoke")
    assert [trial.settings["seed"] for trial in smoke.trials] == [("1",), ("4",)]


@pytest.mark.parametrize(
    ("flag", "engine"),
    [
        ("--ray_address auto", "ray"),
        ("--slurm_partition x", "slurm"),
        ("--slurm_minutes 3", "slurm"),
        ("--slurm_local", "slurm"),
        ("--cpus_per_run 1", "ray or slurm"),
        ("--gpus_per_run 0", "ray or slurm"),
    ],
)
def test_a_flag_of_an_engine_is_for_that_engine_alone(flag, engine):
    for name in ("local", "ray", "slurm"):
        command = f"--model LeNet300 --seed 1 {flag} --engine {name}"
        if name in engine.split():
            assert grid(command).options.engine == name
        else:
            with pytest.raises(UserError, match=rf"^{flag.split()[0]} is for --engine {engine}$"):
                grid(command)


def test_a_question_is_answered_for_the_first_run():
    found = grid("--model LeNet300 --seed 1,2 -h")
    assert (found.asked, len(found.trials), found.run_name) == (True, 1, "")
    assert found.trials[0].settings["seed"] == ("1",)


def test_what_is_wrong_in_a_run_names_what_varies():
    with pytest.raises(UserError, match=r"\(of the run of seed 2, prune_criterion GRASP, grasp_temperature x\)$"):
        grid("--model LeNet300 --seed 2,3 --prune_criterion SNIP,GRASP --grasp_temperature x,1")
    with pytest.raises(UserError, match=r"^[^(]*'x' is not a whole number$"):
        grid("--model LeNet300 --seed x --jobs 1")
