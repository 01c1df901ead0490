"""A process that ends with the one that has started it."""

import os
import signal
import subprocess
import sys

import pytest

from secateur.parallel import launch
from tests.commands import ROOT

#: It starts another, which is to end with it, tells its id, and waits to be killed.
PARENT = """
import os, subprocess, sys, time
child = "import os, time; from secateur.parallel.parent import end_with; end_with({}, 9); "
child += "print(os.getpid(), flush=True); time.sleep(1000)"
subprocess.Popen([sys.executable, "-c", child.format(os.getpid())])
time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells of the death of a parent")
def test_it_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        assert parent.stdout.read() == b""  # which ends when the other holds it no more


def test_it_ends_where_its_parent_has_ended_before():
    code = "from secateur.parallel.parent import end_with; end_with(1, 9); print('here')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize(("rank", "signal_"), [("0", signal.SIGTERM), ("1", signal.SIGKILL)], ids=["first", "other"])
def test_processes_of_torchrun_end_with_it(monkeypatch, rank, signal_):
    asked = []

    def end_with(parent, number):
        asked.append((parent, number))
        raise ConnectionError

    monkeypatch.setattr(launch, "end_with", end_with)
    for name in launch.VARIABLES:
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(ConnectionError), launch.process_group():
        pass
    assert asked == [(os.getppid(), signal_)]
