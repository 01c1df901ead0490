"""Two commands of one grid at once."""

import subprocess
import sys

import pytest

from secateur.grid.turns import own_turn
from secateur.utils.errors import UserError
from tests.permissions import only

HOLD = """
import sys
from pathlib import Path
from secateur.grid.turns import own_turn
with own_turn(Path(sys.argv[1]), print):
    print("has it", flush=True)
    input()
"""


def test_the_second_says_so_and_waits_for_the_first(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path / "grid_mine")]
    said = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "has it\n"

        def say(line):
            said.append(line)
            assert first.poll() is None
            first.stdin.write("\n")
            first.stdin.close()

        with own_turn(tmp_path / "grid_mine", say):
            first.wait(timeout=100)
    assert len(said) == 1
    assert f"{tmp_path / 'grid_mine'} is run by process {first.pid} on " in said[0]


def test_alone_nothing_is_said_and_a_killed_process_holds_nothing(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        first.stdout.readline()
        first.kill()
    said = []
    with own_turn(tmp_path, said.append):
        assert said == []


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path):
    with only(0o500, tmp_path), pytest.raises(UserError, match="no grid can be kept there: Permission denied"):
        own_turn(tmp_path / "grid", print).__enter__()
