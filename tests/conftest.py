"""What many tests need: settings as the command line gives them, and runs built as main.py builds them."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from secateur import cli
from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.measuring import latency
from secateur.runs.assemble import assemble
from secateur.runs.folder import RunFolder
from tests.commands import Outcome

# What a shell starts in the background ignores Ctrl-C, and so would every run that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(tmp_path, capsys):
    """Call main.main as a user calls main.py, here, which spares importing torch; returns its `Outcome`."""

    def start(command):
        before = set(tmp_path.glob("results/*"))
        status = cli.main([*command.split(), "--results_dir", str(tmp_path / "results")])
        new = set(tmp_path.glob("results/*")) - before
        return Outcome(status, *capsys.readouterr(), new.pop() if new else None)

    return start


@pytest.fixture
def make_settings(tmp_path):
    """Parse a command line, a string, with data and results below a temporary folder."""

    def make(command=""):
        hooks, _ = plugin_manager()
        places = ["--data_dir", str(tmp_path / "data"), "--results_dir", str(tmp_path / "results")]
        settings = parse([*places, *command.split()], Registry(hooks), hooks)
        return replace(settings, given=settings.given - {"data_dir", "results_dir"})

    return make


@pytest.fixture
def make_run(make_settings):
    """Build a run from a command line, with a folder of its own and no observers."""

    def make(command="--model LeNet300 --epochs 1"):
        hooks, _ = plugin_manager()
        settings = make_settings(command)
        run = assemble(settings, Registry(hooks), hooks)
        run.folder = RunFolder.new(settings["results_dir"], settings["run_name"])
        return run

    return make


#: Of the programs that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)  # two threads gain nothing on networks this small, and lose much on a machine that is busy


@pytest.fixture(autouse=True)
def _no_shared_state(monkeypatch):
    """Give every test the same random numbers; no time is spent on an exact latency, and none on a power cut."""
    torch.manual_seed(0)
    monkeypatch.setattr(latency, "MOST_TIMES", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
