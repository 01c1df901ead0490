"""The folder of a run: `<date>_<time>_<run_name>/` with codebase/, output/, models/ and progress/."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from utils.errors import UserError
from utils.kinds import KINDS
from utils.run.files import make_new_folder, write_atomically, write_json

PARTS = ("codebase", "output", "models", "progress")
#: Of the arguments, what is no setting of the run.
NO_SETTINGS = ("checkpoint", "checkpoints", "data_options", "explicit", "foreign_weights", "general", "help", "list")
#: Packages whose version can change a result.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "safetensors", "pluggy")


class RunFolder:
    """Makes a folder of its own for a run below `results`: a name that is there is never used again.

    Raises `UserError` where it cannot be made (read-only, full, a file in its place), leaving nothing behind.
    """

    def __init__(self, results: Path, run_name: str) -> None:
        try:
            self.path = make_new_folder(results, run_name)
        except OSError as error:
            raise UserError(f"--results_dir {results}: no run folder can be made there: {error.strerror}") from error
        self.codebase, self.output, self.models, self.progress = (self.path / part for part in PARTS)
        try:
            for part in PARTS:
                (self.path / part).mkdir()
        except OSError as error:
            self.remove()
            raise UserError(f"--results_dir {results}: no run folder can be made there: {error.strerror}") from error

    def remove(self) -> None:
        """Delete the folder: for a run that could not start."""
        shutil.rmtree(self.path, ignore_errors=True)

    def describe(
        self, root: Path, argv: list[str], arguments: argparse.Namespace, device: torch.device, plugins: dict[str, str]
    ) -> None:
        """Write down everything that makes the run repeatable: code, command, arguments, environment."""
        copy_sources(root, self.codebase)
        settings = settings_of(arguments)
        write_atomically(self.output / "calling_command.txt", self._command(argv, settings))
        write_json(self.output / "arguments.json", {**settings, "explicit": arguments.explicit})
        write_json(self.output / "environment.json", environment(root, device, plugins))

    def _command(self, argv: list[str], settings: dict[str, object]) -> str:
        # Of what was typed, these may have meant another place there.
        places = ("data_dir", "results_dir", "checkpoint_model", "checkpoint_name")
        elsewhere = [f"--{name}={settings[name]}" for name in places if settings[name]]
        return (
            f"{shlex.join(['python3', 'main.py', *argv])}\n"
            f"# called in {Path.cwd()}; to repeat it with the code as it was:\n"
            f"# cd {shlex.quote(str(self.codebase))} && {shlex.join(['python3', 'main.py', *argv, *elsewhere])}\n"
        )


def settings_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What arguments.json holds of the arguments, beside the names of those that were typed."""
    return {name: value for name, value in vars(arguments).items() if name not in NO_SETTINGS}


def copy_sources(root: Path, target: Path) -> None:
    """Copy what a run needs of the source tree: main.py, the component folders, utils and the lists of requirements."""
    for folder in (*KINDS, "utils"):
        skip = shutil.ignore_patterns("__pycache__", ".*", "*.part")
        shutil.copytree(root / folder, target / folder, ignore=skip)
    for path in [*root.glob("*.py"), root / "requirements.txt", root / "pyproject.toml"]:
        if path.is_file():
            shutil.copy2(path, target / path.name)


def environment(root: Path, device: torch.device, plugins: dict[str, str]) -> dict[str, object]:
    """What the run ran on: versions, plugins, git commit, device."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    changes = _git(root, "status", "--porcelain")
    return {
        "python": platform.python_version(),
        "packages": versions,
        "plugins": plugins,
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_changes": None if changes is None else bool(changes),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "onednn_products": _onednn_products(),
        "platform": platform.platform(),
        "host": platform.node(),
        "process": os.getpid(),
    }


def _onednn_products() -> str | None:
    """How oneDNN may multiply float32 matrices, see utils/training/cpu.py; None where torch has no say in it."""
    settings = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    return getattr(settings, "fp32_precision", None)


def _git(root: Path, *command: str) -> str | None:
    """Ask git about the source tree; None where there is no git, or the tree is no checkout of its own."""
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
