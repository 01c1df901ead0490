"""Commands of other programs whose words mean nothing here, and how they are said instead. Free of torch."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence

from secateur.utils.errors import UserError

#: The scripts of neuron merging (Kim et al., 2020, and its reproduction in COMP6248), by name.
MERGING = {
    "LeNet_300_100_FashionMNIST": "--model LeNet300 --data_set FashionMNIST",
    "VGG16_CIFAR10": "--model VGG16 --data_set CIFAR10 --merge_lambda 0.85",
    "VGG16_CIFAR100": "--model VGG16 --data_set CIFAR100 --merge_lambda 0.7",
    "ResNet56_CIFAR10": "--model ResNet56 --data_set CIFAR10 --merge_lambda 0.85",
    "WideResNet_40_4_CIFAR10": "--model WideResNet_40_4 --data_set CIFAR10 --merge_lambda 0.8",
    "AlexNet_CIFAR100": "--model AlexNet --data_set CIFAR100 --merge_lambda 0.7",
    "AlexNet_ImageNet": "--model AlexNet --data_set IMAGEFOLDER --image_size 224",
}
#: How those networks were trained, see recipes/neuron_merging.toml.
TRAINED = (
    "--optimizer SGD --learning_rate 0.1 --lr_schedule steps:100,150x0.1 --l2_reg 5e-4 --grad_clip 0 --batch_size 128"
)
#: What network-pruning (J. Cosentino) does where nothing is said, see recipes/train_large_make_small.toml.
LARGE = {"data_set": "digits", "epochs": "20", "learning_rate": "0.001", "batch_size": "128", "num_valid": "10000"}
#: Its flags that have another name here, or none; and its data sets.
RENAMED = {"dataset": "data_set", "experiment_id": "run_name", "output_dir": "results_dir"}
DATA_SETS = {"digits": "MNIST", "fashion": "FashionMNIST"}


def refuse_other_programs(argv: Sequence[str]) -> None:
    """Raise `UserError` with the command to give instead, where these are the words of another program.

    As `-t prune -c l1-norm -r 0.5` or `scripts/NAME.sh` of neuron merging, and what network-pruning.train takes.
    """
    script = next((found[1] for word in argv if (found := re.fullmatch(r"(?:.*/)?(\w+)\.sh", word))), "")
    if script.removesuffix("_train") in MERGING or {"-t", "-c", "-r"} & set(argv):
        program, command = "neuron merging", _merging(script, argv)
    elif "network-pruning.train" in argv or _trains_large(argv):
        program, command = "network-pruning", _large(argv)
    else:
        return
    raise UserError(f"this is a command of the program {program}; its equivalent here: python3 main.py {command}")


def _merging(script: str, argv: Sequence[str]) -> str:
    """The tester Merging, which measures the original, the pruned and the merged network (`-t`) side by side."""
    said = _flags(argv)
    named = [f"--{flag} {said[flag]}" for flag in ("model", "data_set") if flag in said]
    network = " ".join(named) or MERGING.get(script.removesuffix("_train"), MERGING["LeNet_300_100_FashionMNIST"])
    if script.endswith("_train"):
        return f"{network.partition(' --merge_lambda')[0]} {TRAINED} --epochs 200"
    short = {"-c": "--merge_criteria", "-r": "--merge_ratios"}
    chosen = [f"{short[word]} {value}" for word, value in itertools.pairwise(argv) if word in short]
    # A neuron of the program is its weights and its bias.
    return " ".join(["--filter_bias --eval --test_scheme Merging", network, *chosen])


def _trains_large(argv: Sequence[str]) -> bool:
    said = _flags(argv)
    own = {"force_train", "noforce_train", "k_vals", "nokeep_best"}
    named = said.get("dataset", said.get("data_set")) in DATA_SETS
    return named and "eval" not in said and bool(own & said.keys())


def _large(argv: Sequence[str]) -> str:
    """The tester Sparsification, which trains the network and prunes it without training."""
    said = LARGE | {RENAMED.get(flag, flag): value for flag, value in _flags(argv).items()}
    said["data_set"] = DATA_SETS.get(said["data_set"], said["data_set"])
    switches = ["--force_train"] * ("force_train" in said) + ["--keep_best"] * ("nokeep_best" not in said)
    if "nokeep_best" in said:
        del said["num_valid"]
    without = {"force_train", "noforce_train", "keep_best", "nokeep_best"}
    values = [f"--{flag} {shlex.quote(value)}" for flag, value in said.items() if flag not in without]
    return " ".join(
        ["--eval --test_scheme Sparsification --model MLP_large", *values, "--l2_reg 0 --grad_clip 0", *switches]
    )


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """What stands behind each flag that begins with two dashes; nothing behind a switch."""
    found = {}
    for word, following in zip(argv, [*argv[1:], "--"], strict=True):
        flag, equals, value = word.partition("=")
        if flag.startswith("--") and flag != "--":
            found[flag[2:].replace("-", "_")] = value if equals else "" if following.startswith("-") else following
    return found
