"""The command line: what is refused, what is understood, what a flag means."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.arguments import Parser, parse
from utils.errors import UserError
from utils.flags import add_flags
from utils.hooks import plugin_manager
from utils.kinds import KINDS
from utils.registry import Registry

ROOT = Path(__file__).parent.parent.parent


def flags():
    parser = Parser()
    add_flags(parser)
    return {flag: action for action in parser._actions for flag in action.option_strings}


def test_every_flag_has_a_help_text_and_no_flag_two_meanings():
    for flag, action in flags().items():
        assert action.help, flag


def test_names_with_dashes_and_aliases_mean_the_same(make_arguments):
    one = make_arguments("--prune-criterion SNIP --data-set DIGITS --post-epochs 3 --expid x")
    other = make_arguments("--pruner SNIP --dataset DIGITS --epochs 3 --run_name x")
    assert vars(one) == vars(other)


def test_compression_is_pruning_limit_as_a_ratio(make_arguments):
    assert make_arguments("--compression 10").pruning_limit == pytest.approx(0.9)
    assert make_arguments("--compression=1").pruning_limit == 0


def test_what_was_typed_is_known_from_what_was_left(make_arguments):
    arguments = make_arguments("--epochs 80 --tuning")
    assert arguments.explicit == {"epochs", "tuning"}
    assert arguments.epochs == make_arguments("").epochs == 80


def checkpoint(folder, **facts):
    """Write the json of a checkpoint, which is all that the command line reads."""
    known = {"format": 1, "model": "MLP5", "data_set": "RUBBISH", "input_shape": [3, 16, 16], "num_classes": 12}
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "MLP5_finished.json").write_text(json.dumps({**known, "options": {}, **facts}))
    return folder


def test_a_checkpoint_names_components_whose_options_can_be_typed(make_arguments, tmp_path):
    folder = checkpoint(tmp_path / "results" / "run", seed=7)
    for name in ("run", "latest", str(folder)):
        arguments = make_arguments(f"--eval --checkpoint_name {name} --rubbish_images 50")
        assert (arguments.model, arguments.data_set, arguments.rubbish_images) == ("MLP5", "RUBBISH", 50)
        assert (arguments.input_dim, arguments.output_dim, arguments.seed) == ([3, 16, 16], 12, 7)
        assert arguments.checkpoint_name == str(folder)
        assert arguments.checkpoint_model == "MLP5_finished"
        assert "model" not in arguments.explicit
    assert make_arguments("--eval --checkpoint_name run --seed 1").seed == 1
    assert make_arguments("--checkpoint_name run").seed == 333
    assert "--rubbish_images" in make_arguments("--eval --checkpoint_name run --help").help


def test_what_is_typed_wins_over_the_checkpoint(make_arguments, tmp_path):
    checkpoint(tmp_path / "results" / "run", loss="Unheard")
    arguments = make_arguments("--eval --checkpoint_name run --data_set DIGITS --loss CrossEntropy --output_dim 10")
    assert (arguments.data_set, arguments.loss, arguments.output_dim) == ("DIGITS", "CrossEntropy", 10)
    with pytest.raises(UserError, match="no loss 'Unheard'"):
        make_arguments("--eval --checkpoint_name run")
    with pytest.raises(UserError, match="no flag --rubbish_images"):
        make_arguments("--eval --checkpoint_name run --data_set DIGITS --loss CrossEntropy --rubbish_images 5")


def test_a_component_brings_its_own_options(make_arguments):
    assert make_arguments("--prune_criterion SNIP --saliency_loss nll_on_logits").saliency_loss == "nll_on_logits"
    with pytest.raises(UserError, match="no flag --saliency_loss"):
        make_arguments("--prune_criterion rand --saliency_loss nll_on_logits")


def test_help_shows_the_options_of_the_components_that_are_named(make_arguments):
    text = make_arguments("--prune_criterion SNIPit --data_set RUBBISH --help").help
    assert "--saliency_loss" in text
    assert "--rubbish_images" in text
    assert "options of SNIP (criterions/SNIP.py)" in text
    assert "--saliency_loss" not in make_arguments("--help").help


class Folder:
    """Puts components into a folder of their own and parses a command line there."""

    def __init__(self, root):
        self.root = root

    def parse(self, body, *words):
        (self.root / "criterions").mkdir(exist_ok=True)
        source = f"class Mine:\n    @staticmethod\n    def add_arguments(parser):\n        {body}\n"
        (self.root / "criterions" / "Mine.py").write_text(source)
        hooks, _ = plugin_manager()
        for kind in KINDS:
            if kind != "criterions" and not (self.root / kind).exists():
                (self.root / kind).symlink_to(ROOT / kind)
        return parse(["--prune_criterion", "Mine", *words], Registry(self.root, hooks), hooks)


def test_a_per_cent_sign_in_a_help_text_is_refused_by_the_options_name(tmp_path):
    body = "parser.add_argument('--mine', help='prune 50% of it')"
    assert Folder(tmp_path).parse(body).mine is None
    with pytest.raises(UserError, match=r"help text of --mine: .*; a per cent sign is written %%"):
        Folder(tmp_path).parse(body, "--help")
    assert "50% of" in Folder(tmp_path).parse(body.replace("%", "%%"), "--help").help


def test_options_that_cannot_be_declared_are_refused_with_file_and_line(tmp_path):
    with pytest.raises(UserError, match=r"the options of Mine .*ZeroDivisionError: .* \(.*criterions/Mine.py:4\)"):
        Folder(tmp_path).parse("1 / 0")


def test_a_flag_that_stands_for_a_component_names_it(make_arguments):
    arguments = make_arguments("--hoyer_square --pruner hoyersquare --l0 --loss CrossEntropy")
    assert (arguments.prune_criterion, arguments.train_scheme) == ("HoyerSquare", "L0Trainer")
    assert {"prune_criterion", "train_scheme"} <= arguments.explicit


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
    "--lr_schedule steps:a": "--lr_schedule: 'steps:a' is not constant",
    "--experiment manyshot": "--experiment: 'manyshot' is not one of singleshot",
    "--seed -1": "--seed: -1 is out of range",
    f"--N {'9' * 400}": "--N: 99999999999999999999... has more digits",
    "--list nothing --foo": "",
}


@pytest.mark.parametrize("command", [command for command, message in BAD.items() if message])
def test_wrong_input_is_one_line_that_names_the_flag(make_arguments, command):
    with pytest.raises(UserError, match=BAD[command]) as raised:
        make_arguments(command)
    assert "\n" not in str(raised.value)


def options_of_components():
    """The options that the components of this folder declare, whichever of them a command names."""
    hooks, _ = plugin_manager()
    registry = Registry(ROOT, hooks)
    for component in (component for kind in KINDS for component in registry.components(kind)):
        for _, declare in component.declarations():
            parser = Parser()
            declare(parser)
            yield from (flag for action in parser._actions for flag in action.option_strings)


def test_every_flag_of_the_readme_exists():
    known = {*flags(), *options_of_components(), "--guard"}  # of the example
    for command in re.findall(r"^python3? main\.py(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE):
        for flag in re.findall(r"--([a-z0-9_-]+)", command.partition("#")[0]):
            assert f"--{flag.replace('-', '_')}" in known, command


values = st.one_of(st.text(max_size=12), st.sampled_from(["nan", "-1", "1e999", "0", "../..", "🌳", "", "1,2", "a b"]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(flags())), values)
def test_any_value_of_any_flag_is_read_or_refused_in_one_line(flag, value):
    parser = Parser()
    add_flags(parser)
    message = None
    try:
        parser.parse_args([flag, value])
    except UserError as error:
        message = str(error)
    assert message is None or flag in message or str(UserError(value)) in message
