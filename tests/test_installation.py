"""Secateur as a wheel, in a project that has a utils.py, models/ and losses/ of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.commands import QUICK

ROOT = Path(__file__).resolve().parents[1]
LOOP = """
import torch
from torch.nn import functional

import models.net, losses.mine, utils
import secateur

torch.manual_seed(0)
network = models.net.Net()
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
batches = [(torch.rand(8, 1, 8, 8), torch.arange(8)) for _ in range(4)]
pruner = secateur.Pruner(network, "Guarded", sparsity=0.9, batches=batches, optimizer=optimizer, epochs=3, guard=0.25)
for _ in range(3):
    for inputs, targets in batches:
        optimizer.zero_grad()
        losses.mine.loss(network(inputs), targets).backward()
        optimizer.step()
print(int((network[3].weight != 0).sum()), network[3].weight.numel(), utils.MINE, pruner.criterion.guard)
"""
FILES = {
    "utils.py": "MINE = 'my own utils'\n",
    "models/__init__.py": "",
    "models/net.py": "from torch import nn\n\n\ndef Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), "
    "nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))\n",
    # One that a laboratory would be confused by, if it listed whatever lies in such a folder.
    "models/ResNet18.py": "class ResNet18:\n    pass\n",
    "losses/__init__.py": "",
    "losses/mine.py": "from torch.nn import functional\n\n\ndef loss(logits, targets):\n"
    "    return functional.cross_entropy(logits, targets)\n",
    "losses/CrossEntropy.py": "class CrossEntropy:\n    pass\n",
    "criterions/Guarded.py": '''import secateur


class Guarded(secateur.Criterion):
    """Magnitude, guarded."""

    guard: float = secateur.option(0.5, "the power p of the layer's size", low=0, high=1)

    def scores(self, batches):
        """|weight| / size^p."""
        return {name: weight.abs() / weight.numel() ** self.guard for name, weight in self.weights.items()}
''',
    "loop.py": LOOP,
}
RUN = (
    *("--data_set", "DIGITS", "--N", "64", "--epochs", "1", "--pruning_limit", "0.9"),
    *QUICK.split(),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A fresh environment in which the wheel and the plugin are installed, and a project; (bin folder, project)."""
    folder = tmp_path_factory.mktemp("installation")
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".git", ".venv", "gitignored", "tests")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)  # building leaves files beside the sources
    shutil.copytree(ROOT / "tests" / "plugin_package", folder / "plugin", ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    places = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    outer = "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})  # torch and the rest
    inside = Path(sysconfig.get_path("purelib", "venv", places))
    (inside / "outer.pth").write_text(outer)
    scripts = Path(sysconfig.get_path("scripts", "venv", places))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    wheel = [*pip, "wheel", *quiet, "--wheel-dir", folder / "wheels", folder / "source"]
    done = subprocess.run(wheel, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "wheels").glob("secateur-*.whl")
    install = [*pip, "--python", scripts / "python", "install", *quiet, built, folder / "plugin"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, text in FILES.items():
        path = folder / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return scripts, inside, folder / "project"


def call(place, *words):
    """Call a program in the project; returns what it wrote."""
    scripts, _, project = place
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [scripts / words[0], *map(str, words[1:])]
    done = subprocess.run(command, cwd=project, env={**environment, "COLUMNS": "200"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_name_is_put_into_site_packages(place):
    _, inside, _ = place
    names = {path.name for path in inside.iterdir() if not path.name.endswith((".dist-info", ".pth"))}
    assert names == {"secateur", "secateur_example"}
    modules = {path.relative_to(ROOT / "secateur") for path in (ROOT / "secateur").rglob("*.py")}
    folders = ("criterions", "data_sets", "losses", "lr_schedules", "models", "testers", "trainers", "utils")
    modules |= {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert {path for path in modules if not (inside / "secateur" / path).is_file()} == set()
    assert (inside / "secateur" / "reports" / "report.html").is_file()


def test_the_command_runs_a_criterion_dropped_into_the_project(place):
    out = call(place, "secateur", *RUN, "--model", "LeNet300", "--prune_criterion", "Guarded", "--guard", "0.25")
    assert "Guarded, 1 pruning step" in out
    _, _, project = place
    (folder,) = (project / "gitignored" / "results").iterdir()
    settings = json.loads((folder / "output" / "arguments.json").read_text())
    assert (settings["prune_criterion"], settings["guard"]) == ("Guarded", 0.25)
    assert (folder / "codebase" / "secateur" / "criterions" / "Guarded.py").is_file()


def test_folders_of_the_projects_own_are_not_taken_for_components(place):
    out = call(place, "secateur", "--list")
    assert out.count("ResNet18 ") == 1
    assert out.count("CrossEntropy ") >= 1
    assert "Guarded" in out


def test_a_plugin_runs_by_name(place):
    words = ("--model", "TinyMLP", "--hidden_dim", "16", "--prune_criterion", "BalancedMagnitude")
    out = call(place, "secateur", *RUN, *words, "--outer_layer_pruning", "--results_dir", "of_plugin")
    assert "TinyMLP on DIGITS" in out


def test_a_loop_of_the_projects_own_prunes_with_its_criterion(place):
    assert call(place, "python", "loop.py") == "51 512 my own utils 0.25\n"


def test_the_module_is_the_command(place):
    assert call(place, "python", "-m", "secateur", "--version") == call(place, "secateur", "--version")
