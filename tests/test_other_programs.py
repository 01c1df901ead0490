"""The commands in the READMEs of the programs that Secateur follows: they run as written, or the answer says how."""

import itertools
from pathlib import Path

import pytest

from secateur.runs.files import write_checksummed

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "other_programs.md").read_text(encoding="utf-8")

#: SNIP-it (Verdenius et al., 2020).
SNIP_IT = """
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion SNAPit --pruning_limit 0.93 --epochs 80
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion SNIPitDuring --pruning_limit 0.98 --outer_layer_pruning --epochs 80 --prune_delay 4 --prune_freq 4
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion SNIPit --pruning_limit 0.98 --outer_layer_pruning --epochs 80
python main.py --eval --model MLP5 --data_set MNIST --checkpoint_name <see_results_folder> --checkpoint_model MLP5_finished --attack CarliniWagner
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion EmptyCrit --epochs 80 --pruning_limit 0.0
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion EmptyCrit --epochs 80 --pruning_limit 0.0
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion StructuredRandom --pruning_limit 0.93 --epochs 80
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion GateDecorators --pruning_limit 0.93 --epochs 70 --checkpoint_name <unpruned_results_folder> --checkpoint_model VGG16_finished
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion EfficientConvNets --pruning_limit 0.93 --epochs 80 --prune_delay 69 --prune_freq 1
python3 main.py --model VGG16 --data_set CIFAR10 --prune_criterion GroupHoyerSquare --hoyer_reg <REG> --epochs 80 --prune_delay 69 --prune_freq 1 --group_hoyer_square
python3 main.py --model VGG16 --data_set CIFAR10 --l0_reg <REG> --epochs 160 --l0
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion UnstructuredRandom --pruning_rate 0.98 --pruning_limit 0.98 --outer_layer_pruning --epochs 80
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion <SNIP or GRASP> --pruning_limit 0.98 --outer_layer_pruning --epochs 80
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion HoyerSquare --hoyer_reg <REG> --outer_layer_pruning --epochs 80 --prune_delay 69 --prune_freq 1 --hoyer_square
python3 main.py --model ResNet18 --data_set CIFAR10 --prune_criterion IMP --pruning_limit 0.98 --outer_layer_pruning --epochs 80 --prune_delay 4 --prune_freq 4 --enable_rewinding --rewind_to 6
"""  # noqa: E501 - as they stand there

#: "Network Pruning", assignment 1 of COS598D, after Synaptic-Flow (Tanaka et al., 2020).
AT_INITIALISATION = """
python main.py --help
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --pruner synflow --compression 5
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --pruner synflow --compression 10
python main.py --model-class lottery --model resnet50 --dataset cifar10 --experiment example --pruner synflow --compression 10
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --pruner synflow  --compression {}
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --pruner synflow --compression 5 --expid {NAME}
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --compression-list 2,5 --pruner-list snip,grasp
python main.py --model-class lottery --model vgg16 --dataset cifar10 --experiment example --pruner mag --compression 5 --pre-epochs 200
"""  # noqa: E501

#: Neuron merging (Kim et al., 2020) and its reproduction, COMP6248.
MERGING = """
bash scripts/LeNet_300_100_FashionMNIST.sh -t [model type] -c [criterion] -r [pruning ratio]
bash scripts/LeNet_300_100_FashionMNIST.sh -t prune -c l1-norm -r 0.5
bash scripts/LeNet_300_100_FashionMNIST.sh -t merge -c l1-norm -r 0.5
bash scripts/VGG16_CIFAR10.sh -t [model type] -c [criterion]
bash scripts/VGG16_CIFAR100_train.sh
bash scripts/VGG16_CIFAR100.sh -t [model type] -c [criterion]
bash scripts/ResNet56_CIFAR10.sh -t [model type] -c [criterion] -r [pruning ratio]
bash scripts/WideResNet_40_4_CIFAR10.sh -t [model type] -c [criterion] -r [pruning ratio]
bash scripts/AlexNet_CIFAR100.sh -t [model type] -c [criterion] -r [pruning ratio]
bash scripts/AlexNet_ImageNet.sh -t [model type] -c [criterion] -r [pruning ratio]
"""

#: network-pruning (J. Cosentino).
LARGE = """
python -m network-pruning.train
python -m network-pruning.train --dataset=digits --epochs=20 --learning_rate=0.001
python -m network-pruning.train --help
python -m network-pruning.train --dataset=digits --epochs=20 --learning_rate=0.001 --force_train
python -m network-pruning.train --dataset=fashion --epochs=20 --learning_rate=0.001 --force_train
"""

#: What stands in place of a value, and values for it.
PLACES = {
    "<see_results_folder>": ["dense"],
    "<unpruned_results_folder>": ["dense"],
    "<REG>": ["1e-4"],
    "<SNIP or GRASP>": ["SNIP", "GRASP"],
    "{}": ["1", "20"],
    "{NAME}": ["mine"],
    "[model type]": ["original", "prune", "merge"],
    "[criterion]": ["l1-norm", "l2-norm", "l2-GM"],
    "[pruning ratio]": ["0.8"],
}


def commands(text):
    """Every command, with values in the places for them; of several places with as many values as one has."""
    for line in text.strip().splitlines():
        places = [place for place in PLACES if place in line]
        columns = [PLACES[place] for place in places]
        longest = max(map(len, columns), default=1)
        for values in itertools.islice(zip(*map(itertools.cycle, columns), strict=True), longest) if places else [()]:
            command = line
            for place, value in zip(places, values, strict=True):
                command = command.replace(place, value)
            yield command


@pytest.fixture
def checkpoints(tmp_path):
    """Finished networks, of which the command line reads what they are."""
    for model, data_set, shape in (("VGG16", "CIFAR10", [3, 32, 32]), ("MLP5", "MNIST", [1, 28, 28])):
        spec = {"format": 1, "model": model, "data_set": data_set, "input_shape": shape, "num_classes": 10}
        folder = tmp_path / "results" / "dense" / "models"
        folder.mkdir(parents=True, exist_ok=True)
        write_checksummed(folder / f"{model}_finished.json", {**spec, "options": {}})


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize("command", [*commands(SNIP_IT), *commands(AT_INITIALISATION)])
def test_commands_of_programs_that_have_these_flags_run_as_they_are_written(run, command):
    outcome = run(f"{command.partition('main.py ')[2]} --dry_run")
    assert outcome.status == 0, outcome.err
    assert "to run" in outcome.out or "--help" in command


@pytest.mark.parametrize("command", [*commands(MERGING), *commands(LARGE)])
def test_commands_of_other_programs_are_answered_with_the_line_that_does_it(run, command):
    words = command.removeprefix("bash ").removeprefix("python -m ")
    outcome = run(words)
    if "--help" in command:
        assert outcome.status == 0
        return
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    said = outcome.err.partition("; its equivalent here: python3 main.py ")[2].strip()
    again = run(f"{said} --dry_run")
    assert again.status == 0, again.err
    for short, flag in (("-c", "--merge_criteria"), ("-r", "--merge_ratios")):
        assert (flag in said) == (short in words.split())
        if short in words.split():
            assert f"{flag} {words.partition(f'{short} ')[2].split()[0]}" in said
    if "train --dataset" in words:
        assert ("MNIST" if "digits" in words else "FashionMNIST") in said.split()
        assert ("--force_train" in said) == ("--force_train" in words)


def test_the_words_alone_are_enough(run):
    merging = "--filter_bias --eval --test_scheme Merging --model LeNet300 --data_set FashionMNIST"
    assert f"{merging} --merge_criteria l1-norm --merge_ratios 0.5\n" in run("-t prune -c l1-norm -r 0.5").err
    own = run("--model ResNet20 --data_set CIFAR10 -t merge -c l2-GM")
    assert "Merging --model ResNet20 --data_set CIFAR10 --merge_criteria l2-GM\n" in own.err
    large = run("--dataset=fashion --epochs=5 --force_train --nokeep_best --experiment_id x").err
    assert "--data_set FashionMNIST --epochs 5 " in large
    assert "--run_name x" in large
    assert "keep_best" not in large
    assert "num_valid" not in large


def test_a_grid_file_may_say_the_rest(run):
    outcome = run("--grid recipes/train_large_make_small.toml --force_train --dry_run")
    assert outcome.status == 0, outcome.err


def test_digits_are_not_taken_for_mnist_unnoticed(make_run):
    (notice,) = make_run("--model LogisticRegression --dataset=digits").notices
    assert notice.startswith("--data_set digits: these are DIGITS, scikit-learn's 8x8 images; ")
    assert notice.endswith("--data_set MNIST")
    assert make_run("--model LogisticRegression --data_set DIGITS").notices == []


@pytest.mark.parametrize(
    ("flag", "name", "component"),
    [
        ("model", "wrn-16-8", "WideResNet_16_8"),
        ("model", "WRN-40-4", "WideResNet_40_4"),
        ("model", "lenet-300-100", "LeNet300"),
        ("model", "LeNet-5-Caffe", "LeNet5"),
        ("model", "squeezenet-vanilla", "SqueezeNet_vanilla"),
        ("model", "densenet-264", "DenseNet264"),
        ("model", "resnet-34", "ResNet34"),
        ("model", "vgg-like", "VGG_like"),
        ("model", "alexnet-s", "AlexNet_s"),
        ("data_set", "fashion", "FashionMNIST"),
        ("data_set", "cifar-10", "CIFAR10"),
        ("data_set", "kmnist", "KMNIST"),
    ],
)
def test_names_of_other_programs_are_known(make_settings, flag, name, component):
    assert make_settings(f"--{flag} {name}").components[flag].name == component


@pytest.mark.parametrize("text", [SNIP_IT, AT_INITIALISATION, MERGING, LARGE])
def test_the_page_of_other_programs_has_every_command(text):
    for line in text.strip().splitlines():
        assert line.removesuffix(" ") in PAGE


def test_what_the_set_up_of_other_programs_needs_is_there():
    assert (ROOT / "requirements.txt").is_file()  # pip install -r requirements.txt
