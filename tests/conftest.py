"""What many tests need: arguments as the command line gives them, and runs built as main.py builds them."""

from pathlib import Path

import pytest
import torch

from utils.arguments import parse
from utils.hooks import plugin_manager
from utils.registry import Registry
from utils.run.assemble import assemble
from utils.run.folder import RunFolder

ROOT = Path(__file__).parent.parent


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
        run.folder = RunFolder(arguments.results_dir, arguments.run_name)
        return run

    return make


torch.set_num_threads(1)  # two threads gain nothing on networks this small, and lose much on a machine that is busy


@pytest.fixture(autouse=True)
def _no_shared_state():
    """Give every test the same random numbers."""
    torch.manual_seed(0)
