"""Flags that cannot stand together, values at their limits, and the commands of other programs."""

import json

import pytest

from secateur.config.other_programs import refuse_other_programs
from secateur.config.smoke import BATCH_SIZE, IMAGES, LAST_STEPS, SYNTHETIC, few_of
from secateur.config.suggestions import meant_by
from secateur.utils.errors import UserError
from tests.secateur.config.records import record

SPARSIFICATION = "--eval --test_scheme Sparsification"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--port 3", "--port is for --board, which shows the runs of a folder in a browser"),
        (
            "--time_to_accuracy 0.5",
            "--time_to_accuracy is for --report: train first, then compare the run folders with it",
        ),
        ("--resume_anyway", "--resume_anyway needs --resume RUN, or a grid whose runs were interrupted"),
        (
            "--partial_checkpoint",
            "--partial_checkpoint is for a file of another project: name it with --checkpoint_model",
        ),
        ("--eval", "--eval needs --checkpoint_name: the name or path of a run folder, or latest"),
        (
            "--force_train",
            "--force_train is for --eval --test_scheme Sparsification or Merging without --checkpoint_name",
        ),
        (
            f"{SPARSIFICATION} --checkpoint_name run --force_train",
            "--force_train is for --eval --test_scheme Sparsification or Merging without --checkpoint_name",
        ),
        (
            "--checkpoint_model x",
            "--checkpoint_model needs --checkpoint_name, its run folder, or must be the path of a file: "
            ".pth, .pt, .pth.tar, .ckpt, .safetensors",
        ),
        ("--input_dim 1 8 8 8", "--input_dim takes three numbers, channels height width: --input_dim 3 32 32"),
        (
            "--disable_autoconfig --input_dim 1 8 8",
            "--disable_autoconfig takes nothing from the data set: give --input_dim and --output_dim",
        ),
        (
            "--disable_autoconfig --output_dim 3",
            "--disable_autoconfig takes nothing from the data set: give --input_dim and --output_dim",
        ),
        (
            "--num_valid 3",
            "--num_valid holds training images out for --keep_best or for --tuning: give one of them",
        ),
        (r"--run_name a\b", r"--run_name 'a\\b' (--expid) names a folder: leave out slashes and line breaks"),
        (
            f"--run_name {'x' * 201}",
            "--run_name (--expid, --experiment_id) is longer than 200 bytes, which no folder's name holds",
        ),
    ],
)
def test_what_cannot_stand_together_is_refused_in_these_words(make_settings, tmp_path, command, message):
    write_checkpoint(tmp_path)
    with pytest.raises(UserError) as caught:
        make_settings(command)
    assert str(caught.value) == message


def write_checkpoint(folder):
    known = {"format": 1, "model": "MLP5", "data_set": "RUBBISH", "input_shape": [3, 16, 16], "num_classes": 12}
    (folder / "results" / "run" / "models").mkdir(parents=True)
    text = json.dumps({**known, "options": {}})
    (folder / "results" / "run" / "models" / "MLP5_finished.json").write_text(text)


@pytest.mark.parametrize(
    "command",
    [
        "--board x --port 3",
        "--report x --time_to_accuracy 0.5",
        "--input_dim 1 8 8",
        "--disable_autoconfig --input_dim 1 8 8 --output_dim 3",
        "--num_valid 3 --tuning",
        "--num_valid 3 --keep_best",
        f"--run_name {'x' * 200}",
        f"{SPARSIFICATION} --force_train",
        SPARSIFICATION,
    ],
)
def test_what_can_stand_together_is_taken(make_settings, command):
    settings = make_settings(command)
    assert settings.given == {word[2:] for word in command.split() if word.startswith("--")}


MERGING = "this is a command of the program neuron merging; its equivalent here: python3 main.py "
LARGE = "this is a command of the program network-pruning; its equivalent here: python3 main.py "
TRAINED = (
    "--optimizer SGD --learning_rate 0.1 --lr_schedule steps:100,150x0.1 --l2_reg 5e-4 --grad_clip 0 --batch_size 128 "
    "--epochs 200"
)
MEASURED = "--filter_bias --eval --test_scheme Merging"
SPARSE = "--eval --test_scheme Sparsification --model MLP_large"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("scripts/VGG16_CIFAR100_train.sh", f"{MERGING}--model VGG16 --data_set CIFAR100 {TRAINED}"),
        (
            "a/b/VGG16_CIFAR100.sh -t merge -c l2-GM",
            f"{MERGING}{MEASURED} --model VGG16 --data_set CIFAR100 --merge_lambda 0.7 --merge_criteria l2-GM",
        ),
        (
            "-c l1-norm -r 0.5",
            f"{MERGING}{MEASURED} --model LeNet300 --data_set FashionMNIST --merge_criteria l1-norm --merge_ratios 0.5",
        ),
        ("-t prune --model=A --data-set B", f"{MERGING}{MEASURED} --model A --data_set B"),
        (
            "network-pruning.train",
            f"{LARGE}{SPARSE} --data_set MNIST --epochs 20 --learning_rate 0.001 --batch_size 128 --num_valid 10000 "
            "--l2_reg 0 --grad_clip 0 --keep_best",
        ),
        (
            "--dataset fashion --k_vals=0.5 --force_train --epochs 3 --output-dir a'b",
            f"{LARGE}{SPARSE} --data_set FashionMNIST --epochs 3 --learning_rate 0.001 --batch_size 128 "
            "--num_valid 10000 --k_vals 0.5 --results_dir 'a'\"'\"'b' --l2_reg 0 --grad_clip 0 --force_train "
            "--keep_best",
        ),
        (
            "--data_set digits --noforce_train --nokeep_best",
            f"{LARGE}{SPARSE} --data_set MNIST --epochs 20 --learning_rate 0.001 --batch_size 128 --l2_reg 0 "
            "--grad_clip 0",
        ),
    ],
)
def test_a_command_of_another_program_is_answered_with_the_one_to_give(command, answer):
    with pytest.raises(UserError) as caught:
        refuse_other_programs(command.split())
    assert str(caught.value) == answer


@pytest.mark.parametrize(
    "command",
    [
        "--dataset digits",
        "--dataset digits --eval --k_vals 0.5",
        "--dataset MNIST --force_train",
        "other.sh",
        "VGG16_CIFAR10.shx",
    ],
)
def test_other_words_are_no_command_of_another_program(command):
    assert refuse_other_programs(command.split()) is None


def test_of_numbers_a_smoke_grid_takes_the_smallest_and_the_largest_in_any_order():
    runs = [{"rate": (text,)} for text in ("5", "10", "-1", "2", "1e3", "30")]
    assert few_of(runs) == [2, 4]
    assert few_of([{"words": ("1", "2")}, {"words": ("3",)}, {"words": ("2",)}, {"words": ("x",)}]) == [0, 1, 3]


def test_a_smoke_run_has_so_much():
    assert (IMAGES, BATCH_SIZE, SYNTHETIC, LAST_STEPS) == (2, 2, 100, 2)


def test_three_flags_are_suggested_at_most():
    options = [record(int, flag=f"rate{number}", suggested_for="speed") for number in range(5)]
    assert meant_by("speed", options) == ["rate0", "rate1", "rate2"]
