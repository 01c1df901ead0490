"""One file imports torchvision, and it does so also where torchvision's compiled operators cannot be loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.utils.torchvision_import import torchvision

ROOT = Path(__file__).parents[2]


def sources():
    """Every Python file of the tree, without virtual environments, data and results."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "gitignored"]
    return [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]


def imports_torchvision(text):
    """Whether a source imports torchvision or a module of it."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        if any(name.split(".")[0] == "torchvision" for name in names):
            return True
    return False


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("import torchvision", True),
        ("import os, torchvision.models as zoo", True),
        ("def f():\n    from torchvision.datasets import MNIST", True),
        ("from secateur.utils.torchvision_import import torchvision", False),
        ("import torch\ntorchvision = 'import torchvision'", False),
        ("from .torchvision import x", False),
    ],
)
def test_what_counts_as_an_import(text, verdict):
    assert imports_torchvision(text) is verdict


def test_one_file_alone_imports_torchvision():
    found = [path.relative_to(ROOT) for path in sources() if imports_torchvision(path.read_text(encoding="utf-8"))]
    assert found == [Path("utils/torchvision_import.py")]


def test_it_is_torchvision():
    assert torchvision.__name__ == "torchvision"
    assert callable(torchvision.models.resnet18)
    assert hasattr(torchvision.datasets, "MNIST")


@pytest.mark.slow
def test_it_imports_without_the_compiled_operators():
    script = (
        "import torch\n"
        "def refuse(path): raise OSError(f'{path}: undefined symbol')\n"
        "torch.ops.load_library = refuse\n"
        "from secateur.utils.torchvision_import import torchvision\n"
        "print(torchvision.models.squeezenet1_0(num_classes=3).eval()(torch.zeros(2, 3, 32, 32)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch.Size([2, 3])\n"
