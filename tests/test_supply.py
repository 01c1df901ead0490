"""What the project stands on: what is imported when, what each requirement is for, its licence, and kept promises."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REQUIREMENTS = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
#: Where a package is imported by another name than it is installed by.
IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "rich-argparse": "rich_argparse",
}
#: Those that are called as programs, or by pip and pytest, and need no import.
TOOLS = {"ruff", "setuptools", "pytest-xdist"}
HEAVY = {"torch", "torchvision", "numpy", "sklearn", "PIL", "matplotlib", "tensorboard", "safetensors"}
OPTIONAL = {"foolbox", "ray", "submitit", "onnx", "onnxscript", "onnxruntime", "timm", "numba"}


@pytest.mark.parametrize(
    "command",
    [
        "",
        "--help",
        "--list",
        "--list lr_schedules",
        "--version",
        "--attack all --eval --help",
        "--engine ray --help",
        "--model ResNet20 --data_set RUBBISH --prune_criterion GateDecorators --train_scheme TickTock --help",
        "--model MLP5 --prune_criterion RigL --loss L0CrossEntropy --lr_schedule cosine --help",
    ],
)
def test_a_question_imports_nothing_heavy_and_nothing_optional(command):
    answer = f"cli.main({command.split()!r})" if command else "0"
    code = f"import sys; from secateur import cli; status = {answer}"
    code += "; print(*sys.modules, file=sys.stderr); sys.exit(status)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not set(done.stderr.split()) & (HEAVY | OPTIONAL)


def imported(folders):
    """The packages that files import, anywhere in them."""
    found = set()
    for path in [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + [*ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def test_every_requirement_is_imported_or_is_a_tool():
    folders = [
        "criterions",
        "data_sets",
        "losses",
        "lr_schedules",
        "models",
        "testers",
        "trainers",
        "utils",
        "secateur",
        "tests",
        "benchmarks",
        "tools",
    ]
    names = imported(folders)
    unused = {package for package in REQUIREMENTS if IMPORTED_AS.get(package, package) not in names}
    # TensorBoard is imported by torch.utils.tensorboard, its writer.
    assert unused - TOOLS <= {"tensorboard"}
    assert set(REQUIREMENTS) >= TOOLS


def test_a_page_says_what_each_requirement_is_for():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paragraph = page[page.index("Each requirement has a task:") :].partition("\n\n")[0]
    assert [package for package in REQUIREMENTS if not re.search(rf"(?<![\w-]){package}(?![\w-])", paragraph)] == []


def test_every_requirement_has_its_licence_listed():
    rows = re.findall(r"^\| ([\w.-]+) \| (\S.*) \|$", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE)
    listed = {package: licence for package, licence in rows if package != "package"}
    assert set(listed) == set(REQUIREMENTS)


def test_every_promise_names_tests_that_exist():
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").partition("\n## What was tried\n")[0]
    rows = [row for row in text.splitlines() if row.startswith("| ") and not row.startswith(("| promise", "| **"))]
    named = {row: re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", row) for row in rows}
    assert len(named) >= 20
    for row, tests in named.items():
        assert tests, row
        for path, name in tests:
            assert (ROOT / path).is_file(), path
            assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"
    assert "docs/promises.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/licences.md" in (ROOT / "README.md").read_text(encoding="utf-8")
