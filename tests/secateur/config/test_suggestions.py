"""What an unknown flag is answered with."""

import pytest

from secateur.config.command_line import parse
from secateur.config.parser import Parser, general_options, names_of, options_of_readers, usual_options
from secateur.config.registry import Registry
from secateur.config.suggestions import did_you_mean, meant_by
from secateur.hooks import empty_manager
from secateur.training.options import TrainingOptions
from secateur.utils.errors import UserError
from tests.secateur.config.records import record

HOOKS = empty_manager()
REGISTRY = Registry(HOOKS)
PARSER = Parser([*options_of_readers(HOOKS), *usual_options(REGISTRY), *general_options(REGISTRY)])
EVERY_RUN = [one.option for one in PARSER.declared.values()]
RATE = record(float, 0.1, flag="rate", suggested_for="lr speed")
EPOCHS = record(int, 3, flag="epochs", also=("post_epochs",), suggested_for="n_epochs speed")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("lr", ["rate"]),
        ("--LR", ["rate"]),
        ("--n-epochs", ["epochs"]),
        ("speed", ["rate", "epochs"]),  # two are called so elsewhere
        ("epohcs", ["epochs"]),
        ("post_epoch", ["post_epochs"]),  # one of its names, the nearest
        ("sped", ["rate", "epochs"]),  # what is spelled like a name of other programs
        ("zzzz", []),
    ],
)
def test_a_word_means_what_other_programs_call_so_else_what_is_spelled_like_it(word, names):
    assert meant_by(word, [RATE, EPOCHS]) == names


def test_the_hint_names_flags_and_is_empty_where_none_is_near():
    assert did_you_mean("--speed", [RATE, EPOCHS]) == ": did you mean --rate, --epochs?"
    assert did_you_mean("--zzzz", [RATE, EPOCHS]) == ""


MEANT = {
    "--learning_rate": "--lr -lr --base-lr --LR",
    "--l2_reg": "--weight_decay --wd --weight_deacy",
    "--pruning_limit": "--sparsity --target_sparsity --amount",
    "--prune_criterion": "--method --importance",
    "--lr_schedule": "--scheduler --milestones",
    "--checkpoint_name": "--ckpt --pretrained",
    "--batch_size": "--bs",
    "--device": "--cuda --gpu",
    "--optimizer": "--momentum --opt",
    "--model": "--arch --net",
    "--epochs": "--epohcs --num_epochs",
    "--seed": "--random_seed",
    "--results_dir": "--save_dir --out",
    "--data_dir": "--data_path --root",
    "--output_dim": "--num_classes",
    "--prune_criterion, --loss": "--criterion",
    "--prune_schedule, --lr_schedule": "--schedule",
    "--help": "--hlep",
}


@pytest.mark.parametrize(("flags", "words"), MEANT.items(), ids=MEANT)
def test_flags_of_other_programs_find_the_right_one(flags, words):
    for word in words.split():
        assert did_you_mean(word, EVERY_RUN) == f": did you mean {flags}?"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--lr 0.1", "unknown flag --lr: did you mean --learning_rate?"),
        ("--Weight-Decay=1", "unknown flag --Weight_Decay: did you mean --l2_reg?"),
        ("-lr 0.1", "unknown flag -lr: did you mean --learning_rate?"),
        ("--num_workers 4", "unknown flag --num_workers: did you mean --jobs, --preload_all_data?"),
        ("--zzzz", "unknown flag --zzzz (all flags: python3 main.py --help all)"),
    ],
)
def test_an_unknown_flag_is_one_line_with_what_was_meant(command, message):
    with pytest.raises(UserError) as raised:
        parse(command.split(), REGISTRY, HOOKS)
    assert str(raised.value) == message


def test_no_name_of_another_program_is_the_name_of_a_flag_here():
    names = {name for option in EVERY_RUN for name in names_of(option)}
    assert not {name for option in EVERY_RUN for name in option.suggested_for.split()} & names


def test_the_api_suggests_options_by_their_meaning_too():
    with pytest.raises(UserError, match=r"^TrainingOptions has no option 'lr': did you mean learning_rate\?$"):
        TrainingOptions(lr=0.1)
