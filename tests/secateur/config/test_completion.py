"""What a shell offers when Tab is pressed."""

import re
import shutil
import subprocess

import pytest

from secateur.config.completion import completion
from secateur.config.registry import Registry
from secateur.hooks import empty_manager
from secateur.utils.errors import UserError

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
