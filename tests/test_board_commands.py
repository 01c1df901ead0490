"""main.py --board, as a user calls it."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_board_says_where_it_is_and_ends_by_ctrl_c(tmp_path):
    command = [sys.executable, "main.py", "--results_dir", str(tmp_path), "--port", "0", "--board"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        address = said.split()[1]
        assert said == f"board: {address} shows {tmp_path}; Ctrl-C ends it\n"
        with urllib.request.urlopen(address, timeout=20) as page:
            assert page.read().startswith(b"<!DOCTYPE html>")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("board ended\n", "")
    assert process.returncode == 0
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "--board /nowhere,or/here",
            "--board /nowhere,or/here: there is no such folder; name one that holds run folders",
        ),
        (f"--board /{'x' * 300}", f"--board /{'x' * 300}: File name too long"),
        ("--board --smoke", "--board only shows runs: leave out --smoke"),
        ("--port 80", "--port is for --board, which shows the runs of a folder in a browser"),
        ("--board --port 70000", "--port: 70000 is out of range: at least 0 and at most 65535"),
        ("--dashboard", "unknown flag --dashboard: did you mean --board?"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_line(run, command, said):
    outcome = run(command)
    assert (outcome.status, outcome.out, outcome.err.partition("error: ")[2]) == (2, "", f"{said}\n")
