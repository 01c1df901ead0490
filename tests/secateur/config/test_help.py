"""`--help`: the flags that people use, all of them, or one component."""

import re

import pytest

from secateur.config.command_line import parse
from secateur.config.help import TASKS, Page
from secateur.config.parser import (
    Parser,
    general_options,
    options_of_readers,
    usual_options,
)
from secateur.config.registry import Registry
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError

HOOKS = empty_manager()
REGISTRY = Registry(HOOKS)
EVERY_RUN = Parser([*options_of_readers(HOOKS), *usual_options(REGISTRY), *general_options(REGISTRY)])


@pytest.fixture
def shown(monkeypatch):
    """The page of a command line, on a terminal of so many columns."""

    def show(command, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        return parse(command.split(), REGISTRY, HOOKS).help

    return show


def folded(text):
    return re.sub(r"\s+", " ", text)


def test_the_short_help_shows_the_common_flags_by_task(shown):
    text = shown("--help")
    common = {one.option.flag: one.option.common for one in EVERY_RUN.declared.values() if one.option.common}
    assert 15 <= len(common) <= 30
    assert {*common.values()} == {*TASKS}
    blocks = dict(block.split(":\n", 1) for block in text.split("\n\n") if ":\n" in block)
    for flag, task in common.items():
        assert f"  --{flag}" in blocks[task]
    assert len(re.findall("^  --", text, re.MULTILINE)) == len(common)
    assert len(text.splitlines()) < 80


def test_what_else_can_be_asked_for_stands_at_the_end_of_the_short_help(shown):
    text = shown("--help")
    assert text.rstrip("\n").split("\n")[-3] == ""
    assert folded(text.strip()).endswith(
        "--help all shows every flag, --help NAME a component with its own flags, as --help SNIP, or one flag; --list "
        "shows the components."
    )


def test_its_texts_end_at_the_first_semicolon(shown):
    text = folded(shown("--help"))
    assert "a class in data_sets/ or of a plugin (default: DIGITS)" in text
    assert "DIGITS needs no download (default: DIGITS)" in folded(shown("--help all"))


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", ["--help", "--help all", "--help SNIP", "--model VGG16 --data_set CIFAR10 -h"])
def test_lines_fit_the_terminal_and_are_no_longer_than_80_columns(shown, command, columns):
    lines = [line for line in shown(command, columns).splitlines() if not line.startswith("  python3 main.py ")]
    assert max(map(len, lines)) <= min(columns, 80)


def test_all_of_them_have_a_text(shown):
    text = folded(shown("--help all"))
    assert len(EVERY_RUN.declared) > 100
    for one in EVERY_RUN.declared.values():
        assert one.option.help
        assert f"--{one.option.flag}" in text
        assert folded(one.option.help)[:30] in text


def test_a_component_that_is_named_is_shown_with_the_options_that_are_its_own(shown):
    text = shown("--prune_criterion SNIPit --data_set RUBBISH --help")
    assert (
        "\nSNIPit: a criterion (criterions/SNIPit.py)\n  python3 main.py --prune_criterion SNIPit\n\nSNIP-it " in text
    )
    assert "(Verdenius et al., 2020, algorithm 1)" in text
    assert "connection sensitivity (SNIP, SNAP and their variants):\n  --saliency_loss NAME" in text
    assert "(default: snip_it)" in text  # which it changes
    assert "options of RUBBISH (data_sets/RUBBISH.py):\n  --rubbish_images N" in text
    assert "--pruning_limit" not in text
    assert "--saliency_loss" not in shown("--help")
    assert "--saliency_loss" in shown("--prune_criterion SNIP --help all")


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("--help snip", ["SNIP: a criterion", "|dL/dw * w|", "--saliency_loss", "The other flags of every criterion"]),
        ("--help EmptyCrit", ["EmptyCrit: a criterion", "--pruning_limit FRACTION"]),
        ("--help lenet-300-100", ["LeNet300: a network", "Also called lenet-300-100."]),
        ("--help cosine", ["Cosine: a learning-rate schedule", "--lr_schedule Cosine"]),
        ("--lr_schedule steps:3x0.1 -h", ["Steps: a learning-rate schedule"]),
        ("--l0 --help", ["L0Trainer: a trainer", "--beta_ema DECAY", "L0CrossEntropy: a loss", "Implies --loss L0"]),
        ("--help L0CrossEntropy", ["Implies --train_scheme L0Trainer."]),
        ("--help pruning_limit", ["pruning:\n  --pruning_limit FRACTION"]),
        ("--help rubbish-images", ["--rubbish_images N"]),
        ("--help lr", ["training:\n  --learning_rate RATE"]),
        ("--help short", ["usage: python3 main.py"]),
    ],
)
def test_a_name_is_that_of_a_component_or_of_a_flag(shown, command, parts):
    for part in parts:
        assert part in shown(command)


def test_a_name_that_is_none_is_one_line_with_the_nearest(shown):
    with pytest.raises(UserError, match=r"^--help SNIPP: no component and no flag has this name: did you mean SNIP, "):
        shown("--help SNIPP")


def test_it_shows_defaults_choices_and_what_a_component_changes(shown):
    text = folded(shown("--prune_criterion SNIPit --help all"))
    assert re.search(r"--pruning_limit FRACTION [^-]* \(default: 0.5\)", text)
    assert re.search(
        r"--prune_schedule NAME [^-]*: one_shot, snip_it, linear, exponential, cubic \(default: snip_it\)", text
    )
    for part in ("--input_dim N [N ...] ", "--list [KIND] ", "--epochs, --post_epochs N ", "--help, -h [NAME] "):
        assert part in text
    assert re.search(r"--data_dir PATH [^-]* \(default: gitignored/data\)", text)
    assert re.search(r"--tuning [a-z]", text)
    assert text.count("--epochs, ") == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("two\nlines", "two lines\n"),
        ("a formula:\n    a = b", "a formula:\n    a = b\n"),
        ("first\nsecond\n\nthird", "first second\n\nthird\n"),
    ],
)
def test_lines_of_a_paragraph_meet_unless_one_is_indented(text, wanted):
    page = Page()
    page._paragraphs(text, before="\n")
    assert page.text.plain == "\n" + wanted
