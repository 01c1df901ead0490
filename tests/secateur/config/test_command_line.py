"""The command line: what is refused, what is understood, what a flag means."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.config.kinds import KINDS
from secateur.config.parser import Parser, general_options, names_of, options_of_readers, usual_options
from secateur.config.registry import Registry
from secateur.config.settings import Settings
from secateur.data.options import DataOptions
from secateur.hooks import empty_manager
from secateur.runs.files import write_checksummed
from secateur.training.options import TrainingOptions
from secateur.utils.errors import UserError

ROOT = Path(__file__).parents[3]
HOOKS = empty_manager()
REGISTRY = Registry(HOOKS)
PARSER = Parser([*options_of_readers(HOOKS), *usual_options(REGISTRY), *general_options(REGISTRY)])


def flags():
    """Every flag of every run, with its record."""
    return {
        "-h" if name == "h" else f"--{name}": one.option
        for one in PARSER.declared.values()
        for name in names_of(one.option)
    }


def test_every_flag_has_a_help_text():
    text = re.sub(r"\s+", " ", PARSER.format_help())
    assert len(flags()) > 100
    for flag, option in flags().items():
        assert option.help, flag
        assert re.sub(r"\s+", " ", option.help)[:30] in text
        assert flag in text


def test_names_with_dashes_and_aliases_mean_the_same(make_settings):
    one = make_settings("--prune-criterion SNIP --data-set DIGITS --post-epochs 3 --expid x")
    other = make_settings("--pruner SNIP --dataset DIGITS --epochs 3 --run_name x")
    assert (one.values, one.given, one.components) == (other.values, other.given, other.components)


def test_compression_is_pruning_limit_as_a_ratio(make_settings):
    assert make_settings("--compression 10")["pruning_limit"] == pytest.approx(0.9)
    assert make_settings("--compression=1")["pruning_limit"] == 0


def test_what_was_typed_is_known_from_what_was_left(make_settings):
    settings = make_settings("--epochs 80 --tuning")
    assert settings.given == {"epochs", "tuning"}
    assert settings["epochs"] == make_settings("")["epochs"] == 80


def test_a_component_brings_its_own_options(make_settings):
    assert make_settings("--prune_criterion SNIP --saliency_loss nll_on_logits")["saliency_loss"] == "nll_on_logits"
    with pytest.raises(UserError, match="no flag --saliency_loss"):
        make_settings("--prune_criterion rand --saliency_loss nll_on_logits")


def test_an_option_of_a_component_that_is_not_named_says_whose_it_is(make_settings):
    with pytest.raises(UserError) as raised:
        make_settings("--temperature 3")
    assert str(raised.value).startswith("there is no flag --temperature")
    expected = {
        "--rubbish_images 5": "--rubbish_images here: it is an option of RUBBISH, which is not named",
        "--k-vals=0.5": "--k_vals here: it is an option of Sparsification, which is not named",
        "--image_size 5": "--image_size here: it is an option of IMAGEFOLDER, IMAGENETTE, IMAGEWOOF, which is not",
        "--model_class cifar --model LeNet5": "--model_class here: it is an option of AlexNet, ",
    }
    for command, message in expected.items():
        with pytest.raises(UserError) as raised:
            make_settings(command)
        assert str(raised.value).startswith(f"there is no flag {message}")


def test_help_shows_the_options_of_the_components_that_are_named(make_settings):
    text = make_settings("--prune_criterion SNIPit --data_set RUBBISH --help").help
    assert "--saliency_loss" in text
    assert "--rubbish_images" in text
    assert "options of RUBBISH (data_sets/RUBBISH.py)" in text
    assert "sensitivity (SNIP, SNAP and what is made of them):" in text
    assert "--saliency_loss" not in make_settings("--help").help


def test_help_shows_defaults_choices_and_what_a_component_changes(make_settings):
    text = re.sub(r"\s+", " ", make_settings("--prune_criterion SNIPit --help").help)
    assert (
        "--pruning_limit FRACTION final sparsity: the fraction of the prunable weights that is pruned (default: 0.5)"
        in text
    )
    assert (
        "--prune_schedule {one_shot,snip_it,linear,exponential,cubic} how the target is approached (default: snip_it)"
        in text
    )
    assert "--input_dim N [N ...] " in text
    assert "--list [KIND] " in text
    assert "--data_dir PATH where data sets lie (default: gitignored/data)" in text
    assert "--epochs, --post_epochs N epochs of training (default: 80)" in text
    assert "--tuning hold a tenth" in text
    assert text.count("--epochs, ") == 1


def test_a_flag_that_stands_for_a_component_names_it(make_settings):
    settings = make_settings("--hoyer_square --pruner hoyersquare --l0 --loss CrossEntropy")
    assert (settings["prune_criterion"], settings["train_scheme"]) == ("HoyerSquare", "L0Trainer")
    assert {"prune_criterion", "train_scheme"} <= settings.given


BAD = {
    "--epohcs 3": "no flag --epohcs: did you mean --epochs",
    "DIGITS": "'DIGITS' belongs to no flag",
    "--epochs": "--epochs/--post_epochs: expected one argument",
    "--epochs -1": "--epochs/--post_epochs: -1 is out of range",
    "--epochs 2.5": "--epochs/--post_epochs: '2.5' is not a whole number",
    "--pruning_limit 1": "--pruning_limit: 1 is out of range",
    "--learning_rate nan": "--learning_rate: nan is out of range",
    "--compression 0.5": "--compression: 0.5 is out of range",
    "--compression 2 --pruning_limit 0.5": "--compression and --pruning_limit",
    "--prune_criterion SNIP --hoyer_square": "--hoyer_square is --prune_criterion HoyerSquare, and --prune",
    "--group_hoyer_square --pruner SNIP": "--prune_criterion SNIP contradicts it",
    "--hoyer_square --group_hoyer_square": "--prune_criterion HoyerSquare contradicts it",
    "--l0 --train_scheme TickTock": "--l0 is --train_scheme L0Trainer, and --train_scheme TickTock contradicts it",
    "--model Nothing": "no network 'Nothing'",
    "--loss Nothing": "no loss 'Nothing'",
    "--model=": "--model: it is empty",
    "--dataset= --eval": "--data_set/--dataset: it is empty",
    "--test_scheme=": "--test_scheme: it is empty",
    "--grid=": "--grid: it is empty",
    "--optimizer=": "--optimizer: it is empty",
    "--lr_schedule Nothing": "no learning-rate schedule 'Nothing'",
    "--lr_schedule=": "--lr_schedule is empty",
    "--lr_schedule cosine:3": "--lr_schedule Cosine takes no parameters, and '3' are some",
    "--eval": "--eval needs --checkpoint_name",
    "--force_train": "--force_train is for --eval",
    "--checkpoint_model x": "--checkpoint_model needs --checkpoint_name",
    "--test_scheme DefaultTester": "--test_scheme is for --eval",
    "--input_dim 3 32": "--input_dim takes three numbers",
    "--disable_autoconfig": "--input_dim and --output_dim",
    "--run_name a/b": "--run_name 'a/b'",
    "--run_name a\x07b": "--run_name 'a.x07b'",
    "--results_dir=": "--results_dir is empty",
    "--data_dir= --epochs 1": "--data_dir is empty",
    "--checkpoint_name= --eval": "--checkpoint_name is empty",
    "--device gpu": "--device: 'gpu' is not auto, cpu",
    "--precision half": "--precision: 'half' is not one of float32",
    "--lr_schedule steps:a": "--lr_schedule: 'steps:a' is not steps:EPOCH,EPOCHxFACTOR",
    "--experiment manyshot": "--experiment: 'manyshot' is not one of singleshot",
    "--seed -1": "--seed: -1 is out of range",
    f"--N {'9' * 400}": "--N: 99999999999999999999... has more digits",
    "--list nothing --foo": "",
}


@pytest.mark.parametrize("command", [command for command, message in BAD.items() if message])
def test_wrong_input_is_one_line_that_names_the_flag(make_settings, command):
    with pytest.raises(UserError, match=BAD[command]) as raised:
        make_settings(command)
    assert "\n" not in str(raised.value)


def test_settings_are_frozen_and_yield_what_a_class_takes(make_settings):
    settings = make_settings("--epochs 3 --optimizer SGD --N 50 --prune_criterion SNIPit --input_dim 1 28 28")
    assert settings.options_for(TrainingOptions) == {"epochs": 3, "optimizer_name": "SGD"}
    data = settings.section(DataOptions)
    assert (data.N, data.input_dim, data.tuning) == (50, [1, 28, 28], False)
    assert data.given == {"N", "input_dim", "data_dir"}
    criterion = settings.components["prune_criterion"].load()
    assert settings.options_for(criterion) == {}
    assert make_settings("--prune_criterion SNIPit --pruner SNIPit --snip_steps 5").options_for(criterion) == {
        "snip_steps": 5
    }
    with pytest.raises(TypeError):
        settings.values["epochs"] = 4
    assert (settings.with_values(epochs=4)["epochs"], settings["epochs"]) == (4, 3)
    assert settings.with_values(epochs=4).given == settings.given


def test_settings_are_recorded_by_flag_with_those_that_were_given(make_settings):
    recorded = make_settings("--prune_moment during --data_set RUBBISH").recorded()
    assert recorded["explicit"] == ["data_set", "prune_moment"]
    assert (recorded["prune_moment"], recorded["epochs"], recorded["rubbish_images"]) == ("during", 80, 5000)
    assert not {"help", "list", "report", "version", "temperature"} & recorded.keys()


def test_a_run_that_goes_on_and_the_list_are_questions_of_their_own(make_settings):
    assert isinstance(make_settings("--list"), Settings)
    assert (make_settings("--list")["list"], make_settings("--list models")["list"]) == ("all", "models")
    assert make_settings("--model LeNet5")["list"] is None


@pytest.mark.parametrize(
    "command", ["--prune_criterion SNIP --saliency_loss loss", "--epohcs 3", "--k_vals 1", "--model Nothing"]
)
def test_a_command_is_read_or_refused_without_torch(command):
    code = (
        "import sys; from secateur.config.command_line import parse; from secateur.config.registry import Registry;"
        "from secateur.hooks import empty_manager; from secateur.utils.errors import UserError\n"
        "hooks = empty_manager()\n"
        "try: parse(sys.argv[1:], Registry(hooks), hooks)\n"
        "except UserError: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *command.split()], check=True, cwd=ROOT)


def options_of_components():
    """The options that the components of this folder declare, whichever of them a command names."""
    for component in (component for kind in KINDS for component in REGISTRY.components(kind)):
        yield from (f"--{name}" for one in component.declared() for name in names_of(one.option))


def test_every_flag_of_the_readme_and_of_the_pages_exists():
    known = {*flags(), *options_of_components(), "--guard"}  # of the example
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages if page.stem != "other_programs")
    for command in re.findall(r"^python3? main\.py(.*)$", text, re.MULTILINE):
        for flag in re.findall(r"--([a-z0-9_-]+)", command.partition("#")[0]):
            assert f"--{flag.replace('-', '_')}" in known, command


values = st.one_of(st.text(max_size=12), st.sampled_from(["nan", "-1", "1e999", "0", "../..", "🌳", "", "1,2", "a b"]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(flags())), values)
def test_any_value_of_any_flag_is_read_or_refused_in_one_line(flag, value):
    message = None
    try:
        PARSER.typed([flag, value])
    except UserError as error:
        message = str(error)
    assert message is None or flag in message or str(UserError(value)) in message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--optimizer adamx", r"^--optimizer: torch.optim has no 'adamx': did you mean Adamax"),
        ("--optimizer SparseAdam", r"^--optimizer SparseAdam cannot train this network"),
        ("--model torchvision:resnet51", r"^--model torchvision:resnet51: torchvision has no .*did you mean resnet50"),
        ("--lr_schedule cosin", r"there is no learning-rate schedule 'cosin'"),
        ("--model ResNet81", r"there is no network 'ResNet81'"),
    ],
)
def test_names_that_only_other_packages_know_are_refused_before_anything_is_built(make_settings, command, message):
    with pytest.raises(UserError, match=message):
        make_settings(command)
    assert make_settings("--optimizer NAdam --model torchvision:resnet50")["optimizer"] == "NAdam"


def test_an_attack_that_is_none_is_refused_before_a_network_is_loaded(make_settings, tmp_path):
    folder = tmp_path / "results" / "run" / "models"
    folder.mkdir(parents=True)
    spec = {"format": 1, "model": "LeNet300", "data_set": "MNIST", "input_shape": [1, 28, 28], "num_classes": 10}
    write_checksummed(folder / "LeNet300_finished.json", {**spec, "options": {}})
    with pytest.raises(UserError, match=r"^--attack: foolbox has no attack 'FGSX': did you mean FGSM"):
        make_settings("--eval --checkpoint_name run --attack LinfPGD,FGSX")


def test_a_run_that_trains_has_no_tester(make_settings):
    components = make_settings("--model LeNet300").components
    assert "train_scheme" in components
    assert "test_scheme" not in components
