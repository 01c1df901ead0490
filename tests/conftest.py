"""What many tests need: arguments as the command line gives them, and runs built as main.py builds them."""

from pathlib import Path

import pytest
import torch

import main
from tests.commands import Outcome
from utils.arguments import parse
from utils.hooks import plugin_manager
from utils.registry import Registry
from utils.run.assemble import assemble
from utils.run.folder import RunFolder

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path, capsys):
    """Call main.main as a user calls main.py, here, which spares importing torch; returns its `Outcome`."""

    def start(command):
        before = set(tmp_path.glob("results/*"))
        status = main.main([*command.split(), "--results_dir", str(tmp_path / "results")])
        new = set(tmp_path.glob("results/*")) - before
        return Outcome(status, *capsys.readouterr(), new.pop() if new else None)

    return start


@pytest.fixture
def make_arguments(tmp_path):
    """Parse a command line, a string, with data and results below a temporary folder."""

    def make(command=""):
        hooks, _ = plugin_manager()
        places = ["--data_dir", str(tmp_path / "data"), "--results_dir", str(tmp_path / "results")]
        arguments = parse([*places, *command.split()], Registry(ROOT, hooks), hooks)
        arguments.explicit -= {"data_dir", "results_dir"}
        return arguments

    return make


@pytest.fixture
def make_run(make_arguments):
    """Build a run from a command line, with a folder of its own and no observers."""

    def make(command="--model LeNet300 --epochs 1"):
        hooks, _ = plugin_manager()
        arguments = make_arguments(command)
        run = assemble(arguments, Registry(ROOT, hooks), hooks)
        run.folder = RunFolder.new(arguments.results_dir, arguments.run_name)
        return run

    return make


torch.set_num_threads(1)  # two threads gain nothing on networks this small, and lose much on a machine that is busy


@pytest.fixture(autouse=True)
def _no_shared_state():
    """Give every test the same random numbers."""
    torch.manual_seed(0)
