"""What a shell offers when Tab is pressed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from secateur.config.completion import _for_zsh, completion
from secateur.config.option import option
from secateur.config.registry import Registry
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError
from tests.secateur.config.records import record

HOOKS = empty_manager()
#: Answers as bash would for the words before and at the cursor, one line each.
ASK = """
ask() {
    COMP_WORDS=(secateur "$@"); COMP_CWORD=$#
    _secateur
    echo "${COMPREPLY[*]}"
}
"""


@pytest.fixture(scope="module")
def offered():
    """What bash offers for each of several command lines, whose last word is being typed."""
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash here")
    script = completion("bash", Registry(HOOKS), HOOKS)

    def offer(*lines):
        asked = "\n".join(f"ask {line}" for line in lines)
        done = subprocess.run([bash, "-c", f"{script}\n{ASK}\n{asked}"], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return [line.split() for line in done.stdout.splitlines()]

    return offer


def test_bash_offers_flags_components_and_values(offered):
    flag, name, listed, choice, equals, shown, path, number = offered(
        "--prune_cr",
        "--model LeNet5 --pruner DSn",
        "--prune_criterion SNIP,GRA",
        "--prune_schedule sn",
        "--loss = L0",
        "--list cr",
        "--data_dir ''",
        "--epochs ''",
    )
    assert flag == ["--prune_criterion"]
    assert name == ["DSnoT"]
    assert listed == ["SNIP,GRASP"]
    assert choice == ["snip_it"]
    assert equals == ["L0CrossEntropy"]
    assert shown == ["criterions"]
    assert path == number == []  # files, by `complete -o default`


def test_bash_offers_every_flag_where_no_value_is_expected(offered):
    after_a_value, after_a_switch, dashes = offered("--epochs 3 ''", "--smoke ''", "--model -")
    assert after_a_value == after_a_switch == dashes
    assert {"--epochs", "--post_epochs", "--saliency_loss", "--rubbish_images", "-h"} <= {*dashes}


def test_zsh_is_told_what_each_flag_does_and_takes():
    lines = completion("zsh", Registry(HOOKS), HOOKS).splitlines()
    assert lines[0] == "#compdef secateur"
    (schedule,) = [line.strip() for line in lines if "'--prune_schedule[" in line]
    assert re.fullmatch(
        r"'--prune_schedule\[[^\]]+\]:NAME:_sequence compadd - one_shot snip_it linear .*' \\", schedule
    )
    assert [line.strip()[-15:] for line in lines if "'--data_dir[" in line] == [":PATH:_files' \\"]
    (smoke,) = [line.strip() for line in lines if "'--smoke[" in line]
    assert re.fullmatch(r"'--smoke\[[^\]]+\]' \\", smoke)
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n"], input="\n".join(lines), text=True, check=True)


def test_another_shell_is_refused(make_settings):
    assert make_settings("--completion bash")["completion"] == "bash"
    with pytest.raises(UserError, match=r"^--completion: 'fish' is not one of bash, zsh"):
        make_settings("--completion fish")


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (record(bool, False), "'--one[help]'"),
        (record(int), "'--one[help]:N: '"),
        (record(Path), "'--one[help]:PATH:_files'"),
        (record(str, choices=("a", "b"), synonyms={"c": "a"}), "'--one[help]:NAME:_sequence compadd - a b c'"),
        (record(list[int], words="+"), "'--one[help]:*-*:N: '"),
        (record(str, words="?", choices=("a", "b"), metavar="A:B"), "'--one[help]::AB:(a b)'"),
        (record(Path, words="?"), "'--one[help]::PATH:_files'"),
    ],
)
def test_zsh_is_told_each_kind_of_flag(one, line):
    values = {"one": [*one.choices, *one.synonyms]}
    assert _for_zsh("--one", one, values) == line


def test_zsh_is_told_no_brackets_and_what_stands_before_the_semicolon():
    one = option(None, r"a [b] \c; more")
    one._named("one", "int")
    assert _for_zsh("--one", one, {"one": []}) == "'--one[a (b) c]:N: '"


def test_flags_are_offered_in_the_order_of_the_alphabet():
    script = completion("bash", Registry(HOOKS), HOOKS)
    flags = script.partition("\n_secateur_flags='")[2].partition("'")[0].split()
    assert flags == sorted(flags)
    assert len(flags) > 100
    cases = [line.split(")")[0].strip() for line in script.splitlines() if ") words='" in line]
    assert "--prune_criterion|--pruner" in cases
    assert [case.split("|")[0] for case in cases] == sorted(case.split("|")[0] for case in cases)
